"""What is meant to be otherwise is accepted in one run, by what the refusal prints; and nothing else is."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from flightlike import ROWS, Run, changed, span, write_examples

from mainspring.components.common.errors import UserError


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published(tmp_path_factory.mktemp("baseline"), {"4": span(4)})


def published(folder: Path, spans: dict[str, pa.Table], **parameters: Any) -> Path:
    run = Run(folder, write_examples(folder / "examples", spans), **parameters)
    assert run.valid, run.reasons
    (folder / "schema.pbtxt").write_bytes((run.schema / "schema.pbtxt").read_bytes())
    return folder


def renamed(table: pa.Table) -> pa.Table:
    return table.rename_columns(["miles" if name == "distance" else name for name in table.column_names])


def with_texts(table: pa.Table) -> pa.Table:
    return table.drop(["seats"]).append_column("seats", pa.array([f"s{n % 4}" for n in range(ROWS)]))


CHANGES = {
    "added": (lambda table: table.append_column("gate", table["carrier"]), ["gate"], False),
    "dropped": (lambda table: table.drop(["distance"]), ["distance"], True),
    "renamed": (renamed, ["distance", "miles"], True),
    "new values": (lambda table: changed(table, carrier=["ZZ"] * ROWS), ["carrier"], False),
    "type": (with_texts, ["seats"], True),
    "drift": (lambda table: changed(table, distance=[n % 90 for n in range(ROWS)]), ["distance"], False),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_refused_with_what_accepts_it_and_accepted_by_that(
    baseline: Path, tmp_path: Path, what: str
) -> None:
    change, features, rebaseline = CHANGES[what]
    examples = write_examples(tmp_path / "e", {"5": change(span(5))})
    refused = Run(tmp_path / "refused", examples, baseline_uri=str(baseline))
    assert not refused.valid
    last = refused.reasons.splitlines()[-1]
    if len(features) > 1:
        assert last.startswith("to accept all of it at once: ")
    pasted = shlex.split(last.partition("run with " if len(features) == 1 else "once: ")[2].split(";")[0])
    given = dict.fromkeys(pasted[1::2])
    assert [one.removeprefix("accept=") for one in given if one.startswith("accept=")] == features
    assert ("on_broken_champion=rebaseline" in given) == rebaseline
    accepted = Run(tmp_path / "accepted", examples, baseline_uri=str(baseline), accept=features)
    assert accepted.reasons == ""
    (tmp_path / "accepted" / "schema.pbtxt").write_bytes((accepted.schema / "schema.pbtxt").read_bytes())
    later = Run(
        tmp_path / "later",
        write_examples(tmp_path / "e2", {"6": change(span(6))}),
        baseline_uri=str(tmp_path / "accepted"),
    )
    assert later.reasons == "", "the schema has learnt it, and the next run needs no accept"


def test_what_is_not_accepted_stays_refused(baseline: Path, tmp_path: Path) -> None:
    table = changed(span(5), carrier=["ZZ"] * ROWS, distance=[n % 90 for n in range(ROWS)])
    run = Run(
        tmp_path / "r", write_examples(tmp_path / "e", {"5": table}), baseline_uri=str(baseline), accept=["carrier"]
    )
    assert run.reasons.startswith("distance: drifted")
    assert len(run.reasons.splitlines()) == 1
    with pytest.raises(UserError, match="accept='carier' is no column of examples or schema; did you mean carrier"):
        Run(tmp_path / "s", tmp_path / "e", baseline_uri=str(baseline), accept=["carier"])
    empty = write_examples(tmp_path / "e2", {"5": changed(span(5), distance=[None] * ROWS)})
    run = Run(tmp_path / "t", empty, baseline_uri=str(baseline), accept=["distance"])
    assert run.reasons.startswith("distance: missing in all rows of train")
    assert "run with -p exclude=distance" in run.reasons


def test_a_new_class_of_the_label_is_accepted(tmp_path: Path) -> None:
    def words(table: pa.Table, third: bool) -> pa.Table:
        late = [
            ("maybe" if third and n % 9 == 0 else "yes" if one else "no")
            for n, one in enumerate(table["late"].to_pylist())
        ]
        return table.set_column(table.schema.get_field_index("late"), "late", pa.array(late))

    baseline = published(tmp_path / "b", {"4": words(span(4), third=False)})
    examples = write_examples(tmp_path / "e", {"5": words(span(5), third=True)})
    refused = Run(tmp_path / "r", examples, baseline_uri=str(baseline))
    assert 'the schema does not know: "maybe"' in refused.reasons
    assert "-p accept=late -p on_broken_champion=rebaseline" in refused.reasons
    assert Run(tmp_path / "s", examples, baseline_uri=str(baseline), accept=["late"]).reasons == ""


def test_every_finding_names_its_anomaly_and_a_policy_line_that_passes_it(baseline: Path, tmp_path: Path) -> None:
    table = changed(span(5), carrier=["ZZ"] * 3 + span(5)["carrier"].to_pylist()[3:], seats=[float("inf")] * ROWS)
    examples = write_examples(tmp_path / "e", {"5": table.append_column("1 odd: name", table["tail"])})
    run = Run(tmp_path / "r", examples, baseline_uri=str(baseline))
    errors = [one for one in run.validation["findings"] if one["error"]]
    assert {one["kind"] for one in errors} >= {"unknown_values", "new_column", "data_type", "non_finite"}
    for one in errors:
        assert one["policy"] in run.page.replace("&#34;", '"')
        assert f"[{one['kind']}: " in run.reasons
        assert one["consequence"]
    lines = [one["policy"].removeprefix("allow: [").removesuffix("]") for one in errors]
    policy = "allow:\n" + "\n".join(f"  - {line}" for line in lines)
    assert Run(tmp_path / "s", examples, baseline_uri=str(baseline), policy=policy).reasons == ""


def test_an_excluded_column_refuses_nothing_but_its_age(baseline: Path, tmp_path: Path) -> None:
    table = changed(span(5), distance=[n % 90 for n in range(ROWS)], carrier=["ZZ"] * ROWS, seats=[float("nan")] * ROWS)
    table = table.drop(["tail"]).append_column("gate", pa.array([None] * ROWS, pa.string()))
    run = Run(
        tmp_path / "r",
        write_examples(tmp_path / "e", {"5": table}),
        baseline_uri=str(baseline),
        exclude=["distance", "carrier", "seats", "tail", "gate"],
    )
    assert run.reasons == ""
    old = Run(
        tmp_path / "s", tmp_path / "e", exclude=["month"], timestamp="month", max_age_days=3.0, policy="allow: []"
    )
    assert "month: " in old.reasons
