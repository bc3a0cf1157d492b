"""TFDV's statistics files: one dataset, or one for all rows and one for each slice."""

from __future__ import annotations

from pathlib import Path

from google.protobuf.message import DecodeError
from tensorflow_data_validation import constants
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

ALL_ROWS: str = constants.DEFAULT_SLICE_KEY
"""The name that TFDV gives the dataset of all rows where there are slices."""


def read(path: Path) -> tuple[DatasetFeatureStatisticsList | None, str]:
    """Returns the statistics of all rows in a file, without its slices, or why there are none."""
    try:
        found = DatasetFeatureStatisticsList.FromString(path.read_bytes())
    except FileNotFoundError:
        return None, f"{path}: no such file"
    except (OSError, DecodeError) as error:
        return None, f"{path} cannot be read as TFDV statistics ({error})"
    whole = without_slices(found)
    if len(whole.datasets) != 1 or not whole.datasets[0].num_examples:
        return None, f"{path} holds no statistics"
    return whole, ""


def without_slices(found: DatasetFeatureStatisticsList) -> DatasetFeatureStatisticsList:
    """Returns the dataset of all rows alone; none if there is none."""
    datasets = [one for one in found.datasets if len(found.datasets) == 1 or one.name == ALL_ROWS]
    return DatasetFeatureStatisticsList(datasets=datasets)


def slices_of(found: DatasetFeatureStatisticsList) -> DatasetFeatureStatisticsList:
    """Returns the slices' datasets, by name."""
    datasets = sorted((one for one in found.datasets if one.name != ALL_ROWS), key=lambda one: one.name)
    return DatasetFeatureStatisticsList(datasets=datasets)


def with_slices(
    whole: DatasetFeatureStatisticsList, slices: DatasetFeatureStatisticsList
) -> DatasetFeatureStatisticsList:
    """Returns one list of the dataset of all rows, under TFDV's name for it, and of the slices'."""
    joined = DatasetFeatureStatisticsList(datasets=whole.datasets)
    joined.datasets[0].name = ALL_ROWS
    joined.datasets.extend(slices.datasets)
    return joined
