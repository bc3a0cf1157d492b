"""The evaluation that stands: the candidate is the very model that is served, judged the same way on the same rows."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from mainspring.components.common import manifests, storage
from mainspring.components.common.buckets import local_copy
from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import ModelManifest

EVALUATION_FILE = "evaluation.json"
CONFIG_FILE = "eval_config.pbtxt"
REPORT_FILE = "report.html"
CARD_FILE = "model_card.json"
CARD_PAGE = "model_card.html"
SCORE_FILE = "ml_test_score.json"
SCORE_PAGE = "ml_test_score.html"
REPLAY_FILE = "replay.json"
FILES = (EVALUATION_FILE, CONFIG_FILE, REPORT_FILE, CARD_FILE, CARD_PAGE, SCORE_FILE, SCORE_PAGE, REPLAY_FILE)


def find(champion_uri: str, judged: dict[str, Any]) -> tuple[Path, dict[str, Any]] | None:
    """Returns the champion's own evaluation, its folder and its content, if it answers the question asked now.

    Args:
        champion_uri: The published version that is served; empty if none is.
        judged: `model_fingerprint`, `examples_fingerprint`, `policy` and `versions` of the evaluation asked for.
    """
    if not champion_uri:
        return None
    try:
        champion = local_copy(champion_uri)
        model = manifests.read(ModelManifest, champion / manifests.MODEL_MANIFEST)
        folder = champion / "evaluation"
        content = storage.read_json(folder / EVALUATION_FILE)
    except UserError:
        return None  # Whatever is wrong with the champion, the evaluation proper says it.
    if not judged["model_fingerprint"] or model.fingerprint != judged["model_fingerprint"]:
        return None
    if not isinstance(content, dict) or any(content.get(key) != value for key, value in judged.items()):
        return None
    if not isinstance(content.get("blessed"), bool) or not isinstance(content.get("reasons"), list):
        return None
    if content["blessed"] and content["reasons"]:
        return None
    return (folder, content) if all((folder / name).is_file() for name in FILES) else None


def copy(folder: Path, evaluation: Path, report: Path) -> None:
    """Copies an evaluation and its report over."""
    storage.write_atomically(report, (folder / REPORT_FILE).read_text(encoding="utf-8"))
    with storage.publishing_directory(evaluation) as aside:
        for name in FILES:
            shutil.copyfile(folder / name, aside / name)
