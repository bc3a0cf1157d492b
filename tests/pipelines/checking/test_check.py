"""`mainspring check`: a run that cannot work is told so in seconds, before anything is computed."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from mainspring.components.common import buckets
from mainspring.components.common.errors import UserError
from mainspring.pipelines.commands.starting.check import check
from mainspring.pipelines.compiling import catalogue
from mainspring.pipelines.parameters import typed_arguments
from tests.pipelines import small_pipelines
from tests.pipelines.cluster.kfp_server import running_server
from tests.pipelines.history.past import put_version
from tests.pipelines.history.test_lineage import put_endpoint

HEAD = "id,carrier,delay,late\n"


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Parameters of a run that can work, on two months of CSV."""
    monkeypatch.setenv("MAINSPRING_ROOT", str(tmp_path / "root"))
    for month in ("2026-10", "2026-11"):
        rows = "".join(f'{row},"a ""quoted""\nname",{row % 7},{row % 2}\n' for row in range(40))
        (tmp_path / f"{month}.csv").write_text(HEAD + rows)
    source = f"{tmp_path}/{{YYYY}}-{{MM}}.csv"
    return {"source": source, "label": "late", "target": "local://flights"}


def found(given: dict[str, str], *more: str) -> dict[str, tuple[str, str]]:
    """Returns what a check says: state and words by what was looked at."""
    parameters = [option for name, value in given.items() for option in ("-p", f"{name}={value}")]
    done = CliRunner().invoke(check, ["continuous_training", *parameters, "--json", *more], catch_exceptions=False)
    told = {each["check"]: (each["state"], each["says"]) for each in json.loads(done.stdout)}
    assert done.exit_code == (1 if "wrong" in {state for state, _ in told.values()} else 0)
    return told


def test_a_run_that_can_work_is_told_what_it_would_read_and_replace(given: dict[str, str]) -> None:
    told = found(given | {"query": "SELECT * EXCLUDE (id) FROM source"})
    assert {state for state, _ in told.values()} == {"ok"}
    assert told["source"][1].startswith("spans 2026-11 of ")
    assert told["query"][1] == "gives 3 columns: carrier, delay, late"
    assert "serves nothing yet" in told["target"][1]


@pytest.mark.parametrize(
    ("change", "where", "says"),
    [
        ({"query": "SELECT nope, late FROM source"}, "source and query", '"nope" not found'),
        ({"query": "SELEC late"}, "source and query", "Parser Error"),
        ({"label": "lat"}, "source and query", "label: lat is no column; there are id, carrier, delay, late"),
        ({"exclude": "zip"}, "source and query", "exclude: zip is no column"),
        ({"span": "2026-12"}, "source and query", "span 2026-12 is not there"),
        ({"types": '{"zip": "string"}'}, "source and query", "types: zip is no column"),
        ({"source": "nowhere/{SPAN}.csv"}, "source and query", "no file matches"),
        ({"validation_policy": "limit: {}"}, "validation policy", "unknown key 'limit'"),
        ({"rollout": "50,10"}, "parameters", "rollout '50,10'"),
        ({"target": "local:/flights"}, "parameters", "expected local://<name>"),
        ({"on_refusal": "ignore"}, "parameters", "on_refusal 'ignore'"),
        ({"hyperparameters": '{"learning_rat": 1}'}, "parameters", "'learning_rat' is not one"),
        ({"serving_policy": "replicas: 2"}, "parameters", "local://flights is no cluster"),
        (
            {"target": "kserve://team/flights", "models_root": "models"},
            "parameters",
            "cannot read this machine's folders",
        ),
    ],
)
def test_what_a_step_would_refuse_is_said_by_its_name(
    given: dict[str, str], change: dict[str, str], where: str, says: str
) -> None:
    state, words = found(given | change)[where]
    assert state == "wrong"
    assert says in words


def test_a_type_that_only_the_first_lines_suggest_is_no_fault(given: dict[str, str], tmp_path: Path) -> None:
    rows = "".join(f"{row},{row},1,{row % 2}\n" for row in range(2000)) + "1,AA,1,1\n"
    with gzip.open(tmp_path / "2026-12.csv.gz", "wt") as file:
        file.write(HEAD + rows)
    given |= {
        "source": f"{tmp_path}/{{YYYY}}-{{MM}}.csv.gz",
        "query": "SELECT lower(carrier) AS carrier, late FROM source",
    }
    assert found(given)["query"][0] == "note"
    given["query"] = "SELECT lower(carriers) AS carrier, late FROM source"
    assert found(given)["source and query"][0] == "wrong"


def test_a_champion_whose_folder_is_gone_is_found_before_the_training(given: dict[str, str], tmp_path: Path) -> None:
    version = put_version(tmp_path / "root" / "models", 1, "r1", 0.7)
    put_endpoint(tmp_path / "root", 1)
    assert found(given)["target"] == ("ok", "local://flights serves version 1")
    (version / "version.json").unlink()
    state, words = found(given)["target"]
    assert state == "wrong"
    assert "is gone" in words


def test_a_bucket_is_written_to_for_the_check_and_left_as_it_was(given: dict[str, str], bucket: str) -> None:
    assert found(given | {"models_root": f"{bucket}/models"})["models root"][0] == "ok"
    assert buckets.list_objects(bucket) == []
    assert found(given | {"models_root": "gs://there-is-no-such-bucket/models"})["models root"][0] == "wrong"


def test_with_a_host_the_cluster_and_with_a_registry_the_images_are_looked_at(given: dict[str, str]) -> None:
    with running_server() as server:
        assert found(given, "--host", server.url)["Kubeflow Pipelines"][0] == "ok"
        url = server.url
    assert found(given, "--host", url, "--timeout", "1")["Kubeflow Pipelines"][0] == "wrong"
    told = found(given, "--registry", url.removeprefix("http://"))
    assert told["image mainspring/training"][0] == "note", "nobody answers there"


def test_only_parameters_of_our_own_steps_are_checked_as_ours() -> None:
    spec = small_pipelines.another_teams.pipeline_spec
    assert typed_arguments(spec, {"target": "their own word"}) == {"target": "their own word"}
    with pytest.raises(UserError, match="expected local"):
        typed_arguments(catalogue.load_pipeline("continuous_training"), {"source": "s", "label": "l", "target": "word"})
