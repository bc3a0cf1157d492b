"""Tries to obtain a blessing by accident: broken manifests, odd champions, and policies nobody meant."""

import json
import shutil

import numpy as np
import pytest
import toys
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import BINARY, ModelManifest
from mainspring.components.evaluation.policy.policy_yaml import GATE_KEYS, POLICY_KEYS, parse

MANIFESTS = {
    "swapped classes": {"classes": ["1", "0"]},
    "another task": {"task": "regression", "classes": []},
    "a ranking": {"task": "ranking", "classes": [], "query": "carrier"},
    "several labels": {"task": "multilabel_classification"},
    "an unknown task": {"task": "guessing"},
    "another label": {"label": "origin"},
    "a label that is gone": {"label": "gone"},
    "three classes": {"classes": ["0", "1", "2"]},
    "one class twice": {"classes": ["1", "1"]},
    "a feature that is gone": {"features": {"gone": "numeric", "carrier": "categorical"}},
    "a text for a number": {"features": {"good": "categorical", "carrier": "categorical"}},
    "no features": {"features": {}},
    "half a manifest": {"features": None},
}
ROLES = ("challenger", "champion")
POLICIES = ("", "gates: []", "slices: [carrier]", "gates: [{metric: AUC, slice: carrier, max_loss: 0.49}]")


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    return toys.write_examples(tmp_path_factory.mktemp("examples") / "artifact", toys.binary_columns(200))


def outcome(attempt):
    """Returns what an attempt gives, or the user's mistake that it ended in."""
    try:
        return attempt(), ""
    except UserError as error:
        return None, str(error)


def changed(model, folder, change):
    """Returns a copy of a model whose manifest says something else."""
    shutil.copytree(model, folder)
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8")) | change
    path.write_text(json.dumps({key: value for key, value in manifest.items() if value is not None}), encoding="utf-8")
    return folder


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(what=st.sampled_from(sorted(MANIFESTS)), role=st.sampled_from(ROLES), policy=st.sampled_from(POLICIES))
def test_a_manifest_that_lies_never_gets_a_blessing(tmp_path_factory, examples, models, evaluate, what, role, policy):
    odd = changed(models["good"], tmp_path_factory.mktemp("odd") / "model", MANIFESTS[what])
    challenger, champion = (odd, models["fair"]) if role == "challenger" else (models["good"], odd)
    result, said = outcome(lambda: evaluate(examples, challenger, champion, policy))
    assert "\n" not in said
    assert said or (not result.blessed and result.reasons)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from(["auc", "AUC", "Precision", "carrier", "good", "y", "model_megabytes", "NDCG", ""]),
    st.lists(st.sampled_from(["carrier", "AUC", "y"]), max_size=2),
)
GATE = st.dictionaries(st.sampled_from([*GATE_KEYS, "minimum"]), VALUES, max_size=4)
POLICY = st.dictionaries(
    st.sampled_from([*POLICY_KEYS, "gate"]),
    st.one_of(VALUES, st.lists(st.one_of(VALUES, GATE), max_size=3)),
    max_size=4,
)


@settings(max_examples=400, deadline=None)
@given(content=POLICY)
def test_any_policy_is_refused_in_one_line_or_asks_something_of_a_first_model(content):
    model = ModelManifest(
        BINARY, "y", ["0", "1"], {"good": "numeric", "carrier": "categorical"}, {}, 1, "", "", "", "", {}
    )
    columns = {"y": "int64", "good": "double", "carrier": "string"}
    policy, said = outcome(lambda: parse(json.dumps(content), model, columns))
    assert "\n" not in said
    if policy is None:
        assert said.startswith("policy:")
    else:
        assert any(gate.is_absolute for gate in policy.gates)
        assert policy.min_slice_rows >= 1


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(gate=GATE, seed=st.integers(0, 3))
def test_no_gate_lets_a_model_pass_that_predicts_nothing_usable(tmp_path_factory, models, evaluate, gate, seed):
    columns = toys.binary_columns(60, seed)
    columns["good"][np.random.default_rng(seed).integers(0, 60)] = np.nan
    examples = toys.write_examples(tmp_path_factory.mktemp("nan") / "examples", columns)
    result, said = outcome(lambda: evaluate(examples, models["good"], policy=json.dumps({"gates": [gate]})))
    assert "\n" not in said
    assert said or not result.blessed
