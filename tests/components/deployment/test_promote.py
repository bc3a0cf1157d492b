"""Promotion: the very model that one target serves, by its digest, served at another; and nothing unjudged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mainspring.components.common.errors import UserError
from mainspring.components.deployment.deploy_model import deploy_model
from mainspring.components.deployment.local import local_target
from mainspring.components.deployment.promote_model import promote_model
from mainspring.components.deployment.rollback_model import rollback_model
from mainspring.components.deployment.versions import models_root

STAGING, PROD = "local://staging", "local://prod"


def deployed(fake_model, judged, name: str, root: Path, champion: str = ""):
    uri = str(root / "staging-models" / "staging" / champion[-1:]) if champion else ""
    against = {"uri": uri, "fingerprint": f"sha256:{champion[0]}"} if champion else None
    given = (str(fake_model(name)), *judged(name, champion=against), STAGING)
    return deploy_model(*given, models_root=str(root / "staging-models"), run_id=f"run-{name}")


@pytest.mark.usefixtures("light")
def test_what_staging_serves_is_served_in_prod_by_its_digest(root, fake_model, judged):
    models = str(root / "prod-models")
    first = deployed(fake_model, judged, "a", root)
    done = promote_model(STAGING, PROD, models, approved_by="ann")
    assert (done.version, done.model_fingerprint, done.replaced) == (1, "sha256:a", 0)
    assert local_target.champion("prod") == (1, done.version_uri)
    [there] = models_root.versions(models, "prod")
    assert (there.promoted_from, there.run, there.approved_by) == (first.version_uri, "run-a", "ann")
    own, theirs = (json.loads(Path(uri, "version.json").read_text())["files"] for uri in (first.version_uri, done[1]))
    assert own == theirs, "the same files by their digests"
    assert promote_model(STAGING, PROD, models) == done._replace(replaced=1), "once is enough"

    # Staging goes on: b was judged against a, c against b. Both may follow a in prod.
    deployed(fake_model, judged, "b", root, "a1")
    deployed(fake_model, judged, "c", root, "b2")
    assert promote_model(STAGING, PROD, models).model_fingerprint == "sha256:c"

    rollback_model(PROD, reason="slow")
    with pytest.raises(UserError, match="which was rolled back"):
        promote_model(STAGING, PROD, models)
    assert local_target.champion("prod") == (1, done.version_uri)


@pytest.mark.usefixtures("light")
def test_a_model_never_judged_against_what_it_replaces_is_refused_unless_told_why(root, fake_model, judged):
    models = str(root / "prod-models")
    deploy_model(str(fake_model("x")), *judged("x"), PROD, models_root=models)
    deployed(fake_model, judged, "a", root)
    with pytest.raises(UserError, match="against which this model was never judged"):
        promote_model(STAGING, PROD, models)
    assert promote_model(STAGING, PROD, models, unjudged="the label means something else now").version == 2


@pytest.mark.usefixtures("light")
def test_a_version_that_is_not_what_was_published_is_refused(root, fake_model, judged):
    made = deployed(fake_model, judged, "a", root)
    with pytest.raises(UserError, match=r"local://nothing: serves nothing"):
        promote_model("local://nothing", PROD)
    with pytest.raises(UserError, match="is no published version"):
        promote_model(str(root), PROD)
    verdict = Path(made.version_uri, "evaluation", "evaluation.json")
    verdict.write_text(verdict.read_text().replace("true", "false"))
    with pytest.raises(UserError, match=r"evaluation/evaluation\.json is not the file that was published"):
        promote_model(made.version_uri, PROD)
    assert local_target.champion("prod") is None
