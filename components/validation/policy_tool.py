"""Whether a validation policy can be read, asked in validation's environment by commands that run elsewhere.

`python -m mainspring.components.validation.policy_tool check` reads `{"policy": …}` on standard input.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from mainspring.components.common.errors import UserError
from mainspring.components.validation.policy import policy_yaml


class _AnyColumn(list[str]):
    """Columns that nobody knows yet: each name may be one."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __iter__(self) -> Iterator[str]:
        return iter(())


def check(policy: str) -> None:
    """Checks a policy as far as it can be without data: its columns are taken to be there.

    Raises:
        UserError: It is wrong.
    """
    try:
        policy_yaml.parse(policy, _AnyColumn())
    except UserError as error:
        if " is no column" in str(error) or "no such column" in str(error):
            return
        raise


def main() -> None:
    """Answers one question."""
    check(str(json.loads(sys.stdin.read())["policy"]))
    print("{}")


if __name__ == "__main__":
    main()
