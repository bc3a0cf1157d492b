"""Two canaries for the demo: live requests while one is promoted, and one that is taken back.

The second is a model whose files were mixed up between its evaluation and its deployment. It answers without an error
and fast; only that its predictions are not those that were evaluated gives it away. By itself:
`python -m mainspring.pipelines.examples.canary ROOT CHAMPION`.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sys
import tempfile
import textwrap
import threading
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from mainspring.components.common import storage
from mainspring.components.common.errors import UserError
from mainspring.pipelines.local_root import use_root

STEPS = "0,10,50,100"
PAUSE_SECONDS = 0.05
WATCHED_SECONDS = 2.0
LINE = 80

OWN = "sha256:mixed-up"
"""In place of the fingerprints: else it would be known as the model that its files came from."""


class LiveRequests:
    """Asks an endpoint without pause while the block lasts, as clients do."""

    def __init__(self, url: str, request: bytes) -> None:
        """Prepares to send a V1 request to a URL."""
        self.answered: Counter[str] = Counter()
        """Answers by the version that gave them."""
        self.failed = 0
        self._url, self._request = url, request
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> LiveRequests:
        """Begins."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends, and says how it went."""
        self._done.set()
        self._thread.join()
        counts = ", ".join(f"{count:,} by version {version}" for version, count in sorted(self.answered.items()))
        print(f"\nmeanwhile, live requests: {counts or 'none'}; {self.failed} failed")

    def _ask(self) -> None:
        while not self._done.wait(PAUSE_SECONDS):
            try:
                with urllib.request.urlopen(urllib.request.Request(self._url, self._request), timeout=30) as answer:
                    answer.read()
                    self.answered[answer.headers.get("x-mainspring-version", "?")] += 1
            except OSError:
                self.failed += 1


def judgements(root: Path) -> list[str]:
    """Returns what the newest run's rollout said at each step."""
    logs = sorted((root / "runs").glob("*/logs/deploy-model.log"), key=lambda path: path.stat().st_mtime)
    return _of_rollouts(logs[-1].read_text(encoding="utf-8")) if logs else []


def _of_rollouts(said: str) -> list[str]:
    lines = (line.removeprefix("local://flights: ") for line in said.splitlines())
    return [line for line in lines if "rows replayed" in line or " serves " in line]


def take_back_a_mixed_up_model(root: Path, champion: Path) -> bool:
    """Deploys the first version's files with the champion's evaluation, by steps; returns whether that was refused."""
    use_root(root)
    # Imported here: an example that is only looked at needs none of it.
    from mainspring.components.deployment.deploy_model import deploy_model

    with tempfile.TemporaryDirectory() as folder:
        model, evaluation = Path(folder, "model"), Path(folder, "evaluation")
        not_the_model = shutil.ignore_patterns("version.json", "evaluation", "statistics")
        shutil.copytree(champion.with_name("1"), model, ignore=not_the_model)
        shutil.copytree(champion / "evaluation", evaluation)
        _change(model / "manifest.json", fingerprint=OWN, examples_fingerprint=OWN)
        _change(evaluation / "evaluation.json", model_fingerprint=OWN)
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said):
                deploy_model(
                    str(model),
                    str(champion / "statistics"),
                    str(evaluation),
                    "local://flights",
                    rollout=STEPS,
                    rollout_seconds=WATCHED_SECONDS,
                )
        except UserError as error:
            print(*_of_rollouts(said.getvalue()), sep="\n")
            print(textwrap.fill(f"refused: {error}", LINE, max_lines=8))
            return "not predicted as in its evaluation" in str(error)
    return False


def _change(file: Path, **changes: Any) -> None:
    storage.write_json(file, {**json.loads(file.read_text(encoding="utf-8")), **changes})


if __name__ == "__main__":
    sys.exit(0 if take_back_a_mixed_up_model(Path(sys.argv[1]), Path(sys.argv[2])) else 1)
