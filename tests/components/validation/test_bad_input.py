"""Tables that nobody would send on purpose: judged or refused, never half-published and never counted wrong."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from flightlike import Run, changed, span, write_examples
from google.protobuf import text_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow_data_validation import load_stats_binary
from tensorflow_metadata.proto.v0 import anomalies_pb2

from mainspring.components.common.errors import UserError
from mainspring.components.statistics.span_statistics import by_name, common, dataset

ROWS = 150

values = {
    "int64": st.none() | st.integers(-(2**63), 2**63 - 1),
    "double": st.none() | st.floats(width=64),
    "string": st.none() | st.text(max_size=20),
}


@st.composite
def tables(draw: Any) -> pa.Table:
    names = draw(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=4, unique_by=str.lower))
    arrays = {}
    for name in names:
        kind = draw(st.sampled_from([*values]))
        few = draw(st.lists(values[kind], min_size=1, max_size=6))
        arrow = {"int64": pa.int64(), "double": pa.float64(), "string": pa.string()}[kind]
        arrays[name] = pa.array([few[row % len(few)] for row in range(ROWS)], arrow)
    arrays.pop("late", None)
    return pa.table({**arrays, "late": pa.array(np.arange(ROWS) % 2)})


@given(tables())
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], max_examples=20, deadline=None)
def test_any_table_is_judged_and_counted_right_or_refused_whole(table: pa.Table) -> None:
    with tempfile.TemporaryDirectory() as folder:
        examples = write_examples(Path(folder) / "e", {"1": table})
        try:
            run = Run(Path(folder) / "r", examples)
        except UserError:
            assert not (Path(folder) / "r" / "statistics").exists()
            return
        found = {name: load_stats_binary(str(run.statistics / name / "FeatureStats.pb")) for name in ("train", "eval")}
        assert sum(dataset(one).num_examples for one in found.values()) == ROWS
        for name in table.column_names:
            missing = sum(common(by_name(one)[name]).num_missing for one in found.values())
            assert missing == table[name].null_count, name
        assert run.valid == (not run.reasons)
        assert run.reasons.split("\n") == (run.validation["reasons"] or [""])
        assert all(line.isprintable() for line in run.reasons.split("\n"))
        not_finite = [name for name in table.column_names if pa.types.is_floating(table[name].type)
                      and pc.any(pc.invert(pc.is_finite(table[name]))).as_py()]  # fmt: skip
        assert not (not_finite and run.valid)


def test_strings_of_a_megabyte_are_judged_and_not_copied_into_the_page(tmp_path: Path) -> None:
    texts = ["x" * 1_000_000 + str(number) for number in range(3)]
    table = span(1).slice(0, 150).append_column("text", pa.array([texts[row % 3] for row in range(150)]))
    run = Run(tmp_path / "r", write_examples(tmp_path / "e", {"1": table}))
    assert run.valid, run.reasons[:300]
    assert len(run.page) < 300_000


def against_its_own_baseline(folder: Path, before: pa.Table, now: pa.Table) -> Run:
    first = Run(folder / "b", write_examples(folder / "e", {"1": before}))
    assert first.valid, first.reasons
    (folder / "b" / "schema.pbtxt").write_bytes((first.schema / "schema.pbtxt").read_bytes())
    return Run(folder / "r", write_examples(folder / "e2", {"2": now}), baseline_uri=str(folder / "b"))


def test_control_characters_in_names_and_values_break_no_line_and_steer_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, odd = "odd\nname\x1b[2J", ["a\nb", "\x1b[31mred", "nul\0", "\u202eright to left"]
    table = span(1).append_column(name, span(1)["carrier"])
    moved = table.set_column(6, name, pa.array([*odd, *span(1)["carrier"].to_pylist()[4:]]))
    run = against_its_own_baseline(tmp_path, table, moved)
    assert run.said == (
        r"odd\nname\x1b[2J: 4 rows in span 2 have values that the schema does not know: "
        r'"\x1b[31mred", "a\nb", "nul\x00", "\u202eright to left"'
    )
    progress = capsys.readouterr().out
    assert "Reading 3,000 rows from 2 files." in progress
    assert not {"\x1b", "\0", "\u202e"} & {*run.page, *progress}
    assert r"\u202eright to left" in run.page
    assert run.validation["findings"][0]["rows"][0]["values"][name] == odd[0]
    anomalies = text_format.Parse((run.anomalies / "anomalies.pbtxt").read_text(), anomalies_pb2.Anomalies())
    assert name in [info.path.step[0] for info in anomalies.anomaly_info.values()]


def test_an_unknown_value_of_a_megabyte_is_named_by_its_beginning(tmp_path: Path) -> None:
    carriers = ["x" * 1_000_000, *span(1)["carrier"].to_pylist()[1:]]
    run = against_its_own_baseline(tmp_path, span(1), changed(span(1), carrier=carriers))
    assert f'the schema does not know: "{"x" * 60}… (1,000,000 characters)"' in run.reasons
    assert len(run.reasons) < 700
    assert len(run.page) < 100_000
