"""What a policy makes of anomalies, and how a wrong policy is refused."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from flightlike import ROWS, Run, changed, span, write_examples

from mainspring.components.common.errors import UserError
from mainspring.components.validation.policy import policy_yaml

COLUMNS = ["carrier", "distance", "seats", "late"]
YESTERDAY = (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)).date().isoformat()
TOMORROW = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)).date().isoformat()


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("baseline")
    run = Run(folder, write_examples(folder / "examples", {"4": span(4)}))
    assert run.valid, run.reasons
    (folder / "schema.pbtxt").write_bytes((run.schema / "schema.pbtxt").read_bytes())
    return folder


def unknown_carrier(folder: Path) -> Path:
    return write_examples(folder, {"5": changed(span(5), carrier=["ZZ"] * 3 + span(5)["carrier"].to_pylist()[3:])})


def judged(baseline: Path, folder: Path, policy: str) -> Run:
    return Run(folder, unknown_carrier(folder / "e"), baseline_uri=str(baseline), policy=policy)


def finding(run: Run, feature: str = "carrier") -> dict:
    return next(found for found in run.validation["findings"] if found["feature"] == feature)


def test_the_offending_rows_are_shown_with_file_row_and_values(baseline: Path, tmp_path: Path) -> None:
    run = judged(baseline, tmp_path, "")
    assert not run.valid
    rows = finding(run)["rows"]
    assert len(rows) == 3
    assert {row["values"]["carrier"] for row in rows} == {"ZZ"}
    assert next(iter(rows[0]["values"])) == "carrier"
    assert (rows[0]["file"].split("/")[1], rows[0]["row"]) == ("5.parquet", 1)
    assert "5.parquet" in run.page


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ("limits: {max_row_factor: 2, max_row_factor: 1000}", "the key 'max_row_factor' occurs twice"),
        ("severity: [{severity: error}]\nseverity: []", "the key 'severity' occurs twice"),
        ("severity: [{anomaly: [drift], severity: ignore}]", "unknown anomaly ['drift']"),
        ("limits: {max_row_factor: " + "9" * 400 + "}", "a whole number of more than 19 digits"),
        ("allow: &x [*x]", "holds itself"),
        ("[" * 5000, "nested too deeply"),
        ("a" * 5000, "a…"),
    ],
)
def test_what_a_person_cannot_have_meant_is_refused_in_one_line(policy: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        policy_yaml.parse(policy, COLUMNS)
    assert says in str(caught.value)
    assert str(caught.value).startswith("policy: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("policy", "valid", "severity"),
    [
        ("severity: [{anomaly: unknown_values, feature: carrier, severity: warning}]", True, "warning"),
        ("severity: [{feature: carrier, severity: ignore}]", True, "ignore"),
        ("severity: [{anomaly: ENUM_TYPE_UNEXPECTED_STRING_VALUES, severity: warning}]", True, "warning"),
        ("severity: [{feature: distance, severity: ignore}]", False, "error"),
        ("severity: [{severity: ignore}, {feature: carrier, severity: error}]", False, "error"),
        (
            "severity: [{anomaly: unknown_values, severity: error}, {feature: carrier, severity: warning}]",
            True,
            "warning",
        ),
    ],
)
def test_the_closest_rule_decides(baseline: Path, tmp_path: Path, policy: str, valid: bool, severity: str) -> None:
    run = judged(baseline, tmp_path, policy)
    assert run.valid is valid, run.reasons
    assert finding(run)["severity"] == severity
    assert ("carrier: 3 rows in span 5" in "".join(run.validation["warnings"])) is (severity == "warning")


def test_an_allowance_holds_until_its_last_day_and_is_named(baseline: Path, tmp_path: Path) -> None:
    allow = f"allow: [{{anomaly: unknown_values, feature: carrier, reason: ZZ is new, expires: {TOMORROW}}}]"
    run = judged(baseline, tmp_path, allow)
    assert (run.valid, run.reasons) == (True, "")
    assert finding(run)["note"] == f"allowed until {TOMORROW} (ZZ is new)"
    assert "ZZ is new" in run.page


def test_an_expired_allowance_allows_nothing_and_says_so(baseline: Path, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(f"allow:\n- feature: carrier\n  reason: ZZ is new\n  expires: {YESTERDAY}\n")
    run = judged(baseline, tmp_path, str(tmp_path / "p.yaml"))
    assert not run.valid
    assert run.said.endswith(f'"ZZ" (it was allowed until {YESTERDAY} (ZZ is new); that has expired)')


def test_what_could_not_be_judged_cannot_be_ignored(tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "e", {"1": span(1)}, eval_share=0)
    assert Run(tmp_path, examples, policy="severity: [{severity: ignore}]").said == "eval: no rows; it cannot be judged"


def test_the_anomalies_proto_is_no_more_severe_than_the_policy(baseline: Path, tmp_path: Path) -> None:
    run = judged(baseline, tmp_path, "severity: [{feature: carrier, severity: warning}]")
    text = (run.anomalies / "anomalies.pbtxt").read_text()
    assert "severity: WARNING" in text
    assert "severity: ERROR" not in text


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("severty: []", "policy: unknown key 'severty'; did you mean severity?"),
        ("severity: [{anomaly: drift, severty: error}]", "severity: unknown key 'severty'; did you mean severity?"),
        ("severity: [{anomaly: drfit, severity: error}]", "unknown anomaly 'drfit'; did you mean drift?"),
        (
            "severity: [{feature: carier, severity: error}]",
            "'carier' is no column of examples or schema; did you mean carr",
        ),
        ("severity: [{feature: carrier, severity: eror}]", "'eror' is none; one of error, warning, ignore is needed"),
        ("severity: [{feature: carrier}]", "the severity is missing"),
        ("severity: [{severity: error}, {severity: ignore}]", "two rules for everything"),
        ("severity: {feature: carrier}", "expected a list of mappings"),
        ("allow: [{feature: carrier, expires: 2030-01-01}]", "allow: carrier: give a reason"),
        ("allow: [{feature: carrier, reason: x}]", "expires: expected a date such as 2026-12-31, found None"),
        ("allow: [{feature: carrier, reason: x, expires: soon}]", "found 'soon'"),
        ("allow: [{feature: carrier, reason: x, expires: 2026-02-30}]", "policy: is not YAML"),
        ("allow: [{reason: x, expires: 2030-01-01}]", "names neither an anomaly nor a feature"),
        ("limits: {max_row_factr: 3}", "unknown key 'max_row_factr'; did you mean max_row_factor?"),
        ("limits: {max_row_factor: 0.5}", "expected a number of 1 or more, found 0.5"),
        ("limits: {max_duplicate_share: .nan}", "expected a number from 0 to 1"),
        ("limits: {max_duplicate_share: true}", "expected a number from 0 to 1, found True"),
        ("[1]", "expected a mapping"),
        ("a: [", "policy: is not YAML"),
        ("missing.yaml", "missing.yaml: cannot be read"),
    ],
)
def test_a_wrong_policy_is_refused_in_one_line(policy: str, words: str) -> None:
    with pytest.raises(UserError) as raised:
        policy_yaml.parse(policy, COLUMNS)
    assert words in str(raised.value)
    assert str(raised.value).startswith("policy: ")


def test_an_empty_policy_is_the_defaults(tmp_path: Path) -> None:
    table = changed(span(1), seats=[None] * ROWS)
    assert not Run(tmp_path, write_examples(tmp_path / "e", {"1": table}), policy="  ").valid
