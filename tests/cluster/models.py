"""Blessed models, as far as deployment reads what training and evaluation leave, and a bucket to publish them in.

What a model's server computes stands in its variables (`pods`): a factor, and which version it is.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from pathlib import Path

from mainspring.components.deployment.deploy_model import Deployed, deploy_model

ROWS = [{"x": float(x)} for x in range(5)]
FACTOR = 2.0


@dataclass
class Models:
    """Makes models and deploys them."""

    folder: Path
    root: str

    @classmethod
    def in_new_bucket(cls, folder: Path) -> Models:
        """Returns a maker of models with an empty bucket of its own."""
        from google.cloud import storage

        name = f"b{uuid.uuid4().hex}"
        storage.Client(project=None).create_bucket(name)
        return cls(folder, f"gs://{name}/models")

    def deploy(
        self, name: str, target: str, rollout: str = "0,100", ready_seconds: int = 300, **policy: str
    ) -> Deployed:
        """Deploys a model of a name, which evaluation blessed."""
        model, statistics, evaluation = self._make(name)
        settings = {"reach": "api", "ready_seconds": ready_seconds, **policy}
        return deploy_model(
            str(model),
            str(statistics),
            str(evaluation),
            target,
            models_root=self.root,
            rollout=rollout,
            rollout_seconds=0.0,
            serving_policy=json.dumps(settings),
        )

    def published(self) -> list[str]:
        """Returns the URIs of all objects in the bucket."""
        from mainspring.components.common import buckets

        return sorted(found.uri for found in buckets.list_objects(self.root))

    def _make(self, name: str) -> tuple[Path, Path, Path]:
        folder = self.folder / name
        model, statistics, evaluation = (folder / part for part in ("model", "statistics", "evaluation"))
        for part in (model / "variables", statistics / "train", evaluation):
            part.mkdir(parents=True, exist_ok=True)
        (model / "saved_model.pb").write_bytes(_graph())
        (model / "variables" / "variables.index").write_text(json.dumps({"factor": FACTOR, "model": name}))
        (model / "variables" / "variables.data-00000-of-00001").write_text(name)
        manifest = {
            "task": "regression",
            "label": "y",
            "classes": [],
            "features": {"x": "numeric"},
            "hyperparameters": {},
            "seed": 1,
            "examples_fingerprint": f"sha256:examples-{name}",
            "schema_fingerprint": "",
            "parent": "",
            "fingerprint": f"sha256:{name}",
            "versions": {},
        }
        (model / "manifest.json").write_text(json.dumps(manifest))
        (model / "request.json").write_text(json.dumps({"instances": ROWS[:1]}))
        (statistics / "train" / "FeatureStats.pb").write_bytes(b"statistics")
        verdict = {"blessed": True, "model_fingerprint": f"sha256:{name}"}
        (evaluation / "evaluation.json").write_text(json.dumps(verdict))
        replay = {"instances": ROWS, "predictions": [FACTOR * row["x"] for row in ROWS]}
        (evaluation / "replay.json").write_text(json.dumps(replay))
        return model, statistics, evaluation


def _graph() -> bytes:
    """Returns a SavedModel's protocol buffer with the serving signature `x` → `prediction`, and nothing else."""

    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    def entry(name: str, content: bytes = b"") -> bytes:
        return field(1, name.encode()) + field(2, content)

    signature = field(1, entry("x")) + field(2, entry("prediction"))
    return field(2, field(5, entry("serving_default", signature)))
