"""What the pages say is held against the code: commands, parameters, variables, links, and the length of sentences."""

from __future__ import annotations

import ast
import re
import shlex
import statistics
from pathlib import Path

import click
import pytest
import yaml

from mainspring.pipelines.cli import cli
from mainspring.pipelines.compiling import catalogue, kfp_yaml
from mainspring.pipelines.parameters import declared
from mainspring.pipelines.reference_pages import pages

REPOSITORY = Path(__file__).parents[2]
README = REPOSITORY / "README.md"
PAGES = [
    README,
    *sorted((REPOSITORY / "docs").rglob("*.md")),
    *sorted((REPOSITORY / "components").glob("*/README.md")),
    REPOSITORY / "manifests" / "README.md",
]
STORIES = [README, *sorted((REPOSITORY / "docs" / "tutorials").glob("*.md"))]

BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.S | re.M)


def blocks(page: Path, language: str) -> list[str]:
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [re.sub(rf"(?m)^{indent}", "", text) for indent, of, text in found if of == language]


def commands(page: Path) -> list[list[str]]:
    """The words after `mainspring` of each command that a page shows."""
    text = "\n".join(blocks(page, "console")).replace("\\\n", " ")
    lines = [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]
    found = []
    for line in lines:
        for part in re.split(r"\s\|\s|\s>\s|\s&&\s", line):
            words = shlex.split(part, comments=True)
            if words and words[0].endswith("mainspring") and "=" not in words[0]:
                found.append(words[1:])
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_each_command_exists_with_its_options_and_parameters(page: Path) -> None:
    for words in commands(page):
        command: click.Command = cli
        rest = list(words)
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            assert rest[0] in command.commands, words
            command = command.commands[rest.pop(0)]
        context = click.Context(command)
        given, _, _ = command.make_parser(context).parse_args(rest)
        pipeline = str(given.get("pipeline") or "").replace("-", "_")
        if pipeline in catalogue.BUILT_IN:
            known = declared.parameters(catalogue.load_pipeline(pipeline))
            for parameter in given.get("parameters") or ():
                assert parameter.partition("=")[0] in {*known, "key", "…"}, words


def test_the_pages_show_commands() -> None:
    assert sum(len(commands(page)) for page in PAGES) > 25


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_python_and_yaml_are_python_and_yaml(page: Path) -> None:
    for code in blocks(page, "python"):
        ast.parse(code.replace("…", "..."))
    for text in blocks(page, "yaml"):
        yaml.safe_load(text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_each_link_leads_to_a_file(page: Path) -> None:
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^()\s]+)\)", text):
        path = target.partition("#")[0]
        if path and not re.match(r"[a-z]+:", target):
            generated = path.startswith("../project/") or "/reference/" in f"/{path}" or path.startswith("reference/")
            assert generated or (page.parent / path).exists(), target


def test_the_pages_that_code_writes_are_current() -> None:
    assert kfp_yaml.write(pages(), check=True) == 0


def test_every_environment_variable_is_on_its_page_and_in_the_code() -> None:
    code = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("components", "pipelines", "package")
        for path in (REPOSITORY / folder).rglob("*.py")
    )
    page = (REPOSITORY / "docs" / "reference" / "environment-variables.md").read_text(encoding="utf-8")
    variables = re.compile(r"MAINSPRING_[A-Z][A-Z_]*[A-Z]")
    assert set(variables.findall(code)) == set(variables.findall(page))


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 120


def sentences(page: Path) -> list[str]:
    text = BLOCK.sub("\n\n", page.read_text(encoding="utf-8"))
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"`[^`]*`", "code", text)
    prose = [part for part in re.split(r"\n\s*\n|\n(?=- )", text) if not part.lstrip().startswith(("|", "#"))]
    return [found for part in prose for found in re.split(r"(?<=[.!?:;])\s+", part.strip()) if len(found.split()) > 2]


@pytest.mark.parametrize("page", STORIES, ids=lambda page: page.name)
def test_sentences_are_short(page: Path) -> None:
    lengths = {sentence: len(sentence.split()) for sentence in sentences(page)}
    assert max(lengths.values()) <= 35, max(lengths, key=lengths.__getitem__)
    assert statistics.median(lengths.values()) <= 18
