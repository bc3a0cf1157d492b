"""The Beam path gives what the path without Beam gives, on Beam's own local runner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flightlike import Run, span, write_examples
from tensorflow_data_validation import load_stats_binary
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList
from test_statistics import assert_same

from mainspring.components.common.errors import UserError
from mainspring.components.statistics import beam_statistics

BEAM = ["--runner=DirectRunner"]


def datasets(run: Run, name: str) -> dict[str, Any]:
    found = load_stats_binary(str(run.statistics / name / "FeatureStats.pb"))
    return {one.name: DatasetFeatureStatisticsList(datasets=[one]) for one in found.datasets}


def test_statistics_slices_schema_and_verdict_are_those_of_the_path_without_beam(tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "e", {"4": span(4), "5": span(5)})
    here, there = (Run(tmp_path / name, examples, slices=["carrier"], beam_options=options)
                   for name, options in (("here", []), ("there", BEAM)))  # fmt: skip
    assert (here.valid, here.reasons) == (there.valid, there.reasons) == (True, "")
    for name in ("newest", "train", "eval"):
        ours, theirs = datasets(here, name), datasets(there, name)
        assert list(ours) == list(theirs)
        for one, statistics in ours.items():
            assert_same(statistics, theirs[one])
    assert [path.name for path in tmp_path.rglob(".beam*")] == []


def test_what_is_wrong_is_found_on_beam_as_well(tmp_path: Path) -> None:
    table = span(5).set_column(5, "late", [[0] * 3000])
    run = Run(tmp_path / "r", write_examples(tmp_path / "e", {"5": table}), beam_options=BEAM)
    assert "late: the same value (0) in every row" in run.reasons


def test_options_that_are_none_and_runners_that_are_none_are_refused(tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "e", {"5": span(5)})
    for option, words in (("DirectRunner", "is no option"), ("--runner=NoSuchRunner", "NoSuchRunner")):
        with pytest.raises(UserError, match=words):
            Run(tmp_path / option.strip("-"), examples, beam_options=[option])
        assert not (tmp_path / option.strip("-") / "statistics").exists()


def test_buckets_that_kfp_mounts_are_named_as_workers_elsewhere_reach_them() -> None:
    assert beam_statistics.reachable(Path("/gcs/bucket/train/5.parquet")) == "gs://bucket/train/5.parquet"
    assert beam_statistics.reachable(Path("/tmp/train/5.parquet")) == "/tmp/train/5.parquet"
