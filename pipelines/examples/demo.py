"""The story of a model kept fresh, on the flights of 2013: run it with `make demo`.

January to June make a champion. July arrives, is validated against the champion's data and trained on, and the
challenger gets its traffic by steps, and keeps it only if it does well. A model whose files were mixed up after its
evaluation is taken back at the first step. August arrives with a unit changed, an unknown carrier and a column
gone: it is refused, with the reasons, while the champion keeps answering. Then July to December arrive as live
requests, and a model that is never retrained, one that always is, and one that is when that pays are compared.

A story that was cut short goes on where it was; one that was told to its end is told anew.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from mainspring.pipelines.examples import canary, year
from mainspring.pipelines.examples.live_flights import Scenario

ROOT = Path(".mainspring-demo")
DATA = ROOT / "data"
SCRIPT = str(Path(sys.executable).parent / "mainspring")
QUERY = "SELECT * EXCLUDE (year, flight, arr_delay), arr_delay > 15 AS late FROM source WHERE arr_delay IS NOT NULL"


def main() -> int:
    """Plays the story, or what is left of it, and returns the exit status: 0 if every chapter ended as told."""
    _begin()
    as_told = [_chapter("January to June make the champion.", span=6, expected="succeeded")]
    _mainspring("endpoints", "start", "flights", "--root", str(ROOT))
    url, request = _endpoint()
    with canary.LiveRequests(url, request.read_bytes()):
        july = "July arrives. Its model gets its traffic by steps, judged at each."
        as_told.append(_chapter(july, f"rollout={canary.STEPS}", span=7, expected="succeeded"))
    print(*canary.judgements(ROOT), sep="\n")
    before = _ask()
    _say("A build mixes two models' files up: it serves, but not what was evaluated.")
    mixed_up = [sys.executable, "-m", canary.__name__, str(ROOT), str(_endpoint()[1].parent)]
    as_told.append(subprocess.run(mixed_up, check=False).returncode == 0)
    _mainspring("example", "flights", str(DATA), "--poisoned", "8")
    as_told.append(
        _chapter("August arrives: kilometres for miles, an unknown carrier, a column gone.", span=8, expected="refused")
    )
    after = _ask()
    _say("The champion keeps answering")
    print(f"before: {before}\nafter:  {after}")
    subprocess.run([SCRIPT, "endpoints", "list", "--root", str(ROOT)], check=True)
    _say("July to December as live traffic: never retrained, every month, when it paid (some minutes)")
    print(f"the picture: {year.play(ROOT, Scenario())}")
    print(f"\nThe endpoint stays up; stop it with: {SCRIPT} endpoints stop flights --root {ROOT}")
    return 0 if all(as_told) and before == after else 1


def _begin() -> None:
    if (ROOT / year.PAGE).is_file():
        _mainspring("endpoints", "stop", "--all", "--root", str(ROOT))
        shutil.rmtree(ROOT)
    _mainspring("example", "flights", str(DATA))


def _chapter(title: str, *parameters: str, span: int, expected: str) -> bool:
    _say(title)
    summary = ROOT / f"summary-{span}.json"
    if summary.is_file() and json.loads(summary.read_text(encoding="utf-8"))["status"] == expected:
        print(f"{expected}, before the story was cut short")
        return True
    subprocess.run(
        [
            *(SCRIPT, "run", "continuous_training", "--root", str(ROOT), "--summary", str(summary)),
            *("-p", f"source={DATA}/flights-2013-{{SPAN}}.parquet", "-p", f"query={QUERY}", "-p", "label=late"),
            *("-p", "target=local://flights", "-p", f"span={span}", "-p", f"window={span}"),
            *(argument for parameter in parameters for argument in ("-p", parameter)),
        ],
        check=False,
    )
    status = json.loads(summary.read_text(encoding="utf-8"))["status"]
    if status != expected:
        print(f"This chapter should have ended as {expected}, but the run {status}.", file=sys.stderr)
    return bool(status == expected)


def _ask() -> Any:
    """Returns what the endpoint says of the newest version's example request."""
    url, request = _endpoint()
    with urllib.request.urlopen(urllib.request.Request(url, request.read_bytes()), timeout=10) as answer:
        return json.load(answer)


def _endpoint() -> tuple[str, Path]:
    """Returns the endpoint's URL, and the example request of the version that it serves."""
    listed = json.loads(_mainspring("endpoints", "list", "--json", "--root", str(ROOT)))
    return listed[0]["url"], Path(listed[0]["model"]) / "request.json"


def _mainspring(*arguments: str) -> str:
    return subprocess.run([SCRIPT, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def _say(title: str) -> None:
    print(f"\n=== {title}\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
