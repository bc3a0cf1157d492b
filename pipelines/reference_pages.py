"""Reference pages of the docs that the code itself writes: every command, and every shipped pipeline's parameters.

`python -m mainspring.pipelines.reference_pages` writes them into `docs/reference/`. With `--check` it fails if one of
them is out of date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from mainspring.pipelines import environments
from mainspring.pipelines.cli import cli
from mainspring.pipelines.compiling import catalogue, kfp_yaml
from mainspring.pipelines.parameters import declared

REFERENCE = environments.PIPELINES.parent / "docs" / "reference"

COMMANDS_HEAD = """\
# Commands

This page is written by `make compile` from the commands themselves. `mainspring COMMAND --help` says the same.

A user's mistake is one line on standard error and exit status 1. A wrong option is exit status 2, an interruption 130.
"""

PIPELINES_HEAD = """\
# Pipelines

This page is written by `make compile` from the pipelines themselves. `mainspring run PIPELINE --help` says the same.
[Parameters in a file](../how-to/parameters.md) tells how to write them down.
"""


def pages() -> dict[Path, str]:
    """Returns the content of every page, as Markdown, by path."""
    return {REFERENCE / "commands.md": commands_page(), REFERENCE / "pipelines.md": pipelines_page()}


def commands_page() -> str:
    """Returns the page of all commands."""
    parts = [COMMANDS_HEAD]
    for name, command in cli.commands.items():
        parts += _sections(
            command, click.Context(command, info_name=name, parent=click.Context(cli, info_name="mainspring"))
        )
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _sections(command: click.Command, context: click.Context) -> Iterator[str]:
    depth = "#" * (1 + context.command_path.count(" "))
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    about = _as_markdown(command.help or "")
    yield "\n\n".join([f"{depth} {context.command_path}", f"```text\n{usage}\n```", about])
    options = [_option_row(option, context) for option in command.params]
    if rows := [row for row in options if row]:
        yield "\n".join(["| option | |", "|---|---|", *rows])
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _sections(inner, click.Context(inner, info_name=name, parent=context))


def _as_markdown(text: str) -> str:
    """Returns a command's help as paragraphs; what click keeps in its lines (after a \\b) as a code block."""
    paragraphs = []
    for paragraph in text.replace("\r", "").split("\n\n"):
        if paragraph.startswith("\b\n"):
            paragraphs.append(f"```text\n{paragraph.removeprefix(chr(8) + chr(10))}\n```")
        else:
            paragraphs.append(" ".join(paragraph.split()))
    return "\n\n".join(paragraphs)


def _option_row(option: click.Parameter, context: click.Context) -> str:
    record = option.get_help_record(context)
    return f"| `{_cell(record[0].replace('|', '/'))}` | {_cell(record[1])} |" if record and record[1] else ""


def pipelines_page() -> str:
    """Returns the page of the shipped pipelines' parameters."""
    parts = [PIPELINES_HEAD]
    for name in (*catalogue.BUILT_IN, f"{catalogue.TRAINING}l4"):
        spec = catalogue.load_pipeline(name)
        rows = [
            _parameter_row(parameter)
            for parameter in sorted(declared.parameters(spec).values(), key=lambda one: (not one.is_needed, one.name))
        ]
        about = spec.pipeline_info.description
        parts += [f"## {name}", " ".join(about.split()), "\n".join(["| parameter | type | |", "|---|---|---|", *rows])]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _parameter_row(parameter: declared.Declared) -> str:
    kind, _, about = parameter.in_words.removeprefix("[").partition("]")
    return f"| `{parameter.name}` | {_cell(kind)} | {_cell(about)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(kfp_yaml.write(pages(), check="--check" in sys.argv[1:]))
