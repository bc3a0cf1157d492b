"""The same statistics by TFDV's Beam API, on any runner: for what takes one machine too long."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from tensorflow_data_validation import GenerateStatistics, WriteStatisticsToBinaryFile
from tensorflow_data_validation.utils import slicing_util
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList
from tfx_bsl.arrow.table_util import CanonicalizeRecordBatch

from mainspring.components.common.errors import UserError
from mainspring.components.statistics import span_statistics
from mainspring.components.statistics.span_statistics import Piece

MOUNTS = {"/gcs/": "gs://", "/s3/": "s3://"}
"""Where KFP mounts buckets in a task: a runner's workers have no such mounts, and reach the bucket itself."""


def refuse_malformed(options: Sequence[str]) -> None:
    """Checks Beam's options before anything is read.

    Raises:
        UserError: One is no option.
    """
    for option in options:
        if not option.startswith("--"):
            raise UserError(f"beam_options: {option!r} is no option; give such as --runner=FlinkRunner")


def of_groups(
    groups: Mapping[str, Sequence[Piece]],
    slices: Sequence[str],
    options: Sequence[str],
    scratch: Path,
    categorical: tuple[str, ...] = (),
) -> dict[str, DatasetFeatureStatisticsList]:
    """Returns the statistics of each group of pieces, computed by one Beam pipeline.

    Args:
        groups: Pieces of Parquet files, by name; groups may overlap.
        slices: Columns for each of whose values a dataset is wanted as well, as TFDV names them.
        options: Beam's pipeline options, such as `--runner=DataflowRunner`.
        scratch: A folder that the runner's workers can write, where it leaves nothing behind.
        categorical: Columns of whole numbers that are counted by value, as text is.

    Raises:
        UserError: The runner does not take the options, or the pipeline failed.
    """
    slicers = [slicing_util.get_feature_value_slicer({column: None}) for column in slices]
    statistics_options = span_statistics.options(categorical)
    if slicers:
        statistics_options.experimental_slice_functions = slicers
    with tempfile.TemporaryDirectory(prefix=".beam.", dir=scratch) as folder:
        files = {name: Path(folder) / f"{number}.pb" for number, name in enumerate(groups)}
        try:
            with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
                for name, pieces in groups.items():
                    _ = (
                        pipeline
                        | f"Pieces of {name}" >> beam.Create(list(pieces))
                        | f"Spread {name}" >> beam.Reshuffle()
                        | f"Read {name}" >> beam.FlatMap(_batches)
                        | f"Statistics of {name}" >> GenerateStatistics(statistics_options)
                        | f"Write {name}" >> WriteStatisticsToBinaryFile(reachable(files[name]))
                    )
        except (RuntimeError, ValueError) as error:  # What Beam raises for options and for failed pipelines alike.
            last = str(error).strip().splitlines()[-1:] or [type(error).__name__]
            raise UserError(f"beam_options: {' '.join(options)}: the pipeline failed: {last[0]}") from error
        return {name: DatasetFeatureStatisticsList.FromString(path.read_bytes()) for name, path in files.items()}


def reachable(path: Path) -> str:
    """Returns how a worker elsewhere names the file: by its bucket, where KFP has mounted that here."""
    text = str(path)
    return next((uri + text.removeprefix(mount) for mount, uri in MOUNTS.items() if text.startswith(mount)), text)


def _batches(piece: Piece) -> Iterator[pa.RecordBatch]:
    with FileSystems.open(reachable(piece.path)) as handle:
        for batch in span_statistics.batches_of(pq.ParquetFile(handle), piece):
            yield CanonicalizeRecordBatch(batch)
