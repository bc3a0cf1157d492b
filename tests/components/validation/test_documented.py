"""`docs/validation.md` says what the code does."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from mainspring.components.validation.policy import anomaly_kinds, policy_yaml
from mainspring.components.validation.policy.policy import Limits

PAGE = (Path(__file__).parents[3] / "docs" / "validation.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("| ") or line.startswith("|-")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in table[2:]]


def test_every_anomaly_is_listed_with_its_severity_and_consequence() -> None:
    expected = [
        [kind, severity, anomaly_kinds.MEANINGS[kind], anomaly_kinds.CONSEQUENCES[kind]]
        for kind, severity in anomaly_kinds.OURS.items()
    ]
    assert rows("Anomalies") == expected


def test_every_limit_is_listed_with_its_default() -> None:
    assert [row[:2] for row in rows("Limits")] == [[one.name, f"{one.default:g}"] for one in fields(Limits)]


def test_the_policies_on_the_page_are_read() -> None:
    columns = ["seats", "tenure_days", "order_number"]
    policies = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert len(policies) == 2
    for policy in policies:
        policy_yaml.parse(policy, columns)
