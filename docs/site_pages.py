"""A hook of MkDocs: the READMEs beside the code become pages, and links between the repository's files go on working.

The docs and the READMEs are written so that their links work where the repository is read. In the site, a link to a
file that is a page goes to that page; a link to any other file of the repository becomes plain text; a link to nothing
is a warning, which fails a strict build.
"""

from __future__ import annotations

import logging
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

REPOSITORY = Path(__file__).parent.parent
COMPONENTS = ("ingestion", "validation", "training", "evaluation", "deployment", "serving", "monitoring", "kubeflow")

INCLUDED = {
    "components/README.md": "reference/components.md",
    **{f"components/{name}/README.md": f"reference/components/{name}.md" for name in COMPONENTS},
    "components/IMAGES.md": "reference/images.md",
    "pipelines/cluster/README.md": "reference/cluster.md",
    "manifests/README.md": "reference/manifests.md",
    "examples/README.md": "tutorials/examples.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
}
"""Pages by the files that they are made of."""

PICTURES = ("pipelines/examples/pictures/refused.png", "pipelines/examples/pictures/year.png")

_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
_log = logging.getLogger("mkdocs.hooks.site_pages")


def on_files(files: Files, config: Any) -> Files:
    """Adds the included pages and pictures."""
    for source, page in INCLUDED.items():
        files.append(File.generated(config, page, content=(REPOSITORY / source).read_text(encoding="utf-8")))
    for picture in PICTURES:
        files.append(File.generated(config, _picture(picture), abs_src_path=str(REPOSITORY / picture)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turns the page's links to files of the repository into links to pages."""
    uri = page.file.src_uri
    source = next((source for source, included in INCLUDED.items() if included == uri), f"docs/{uri}")

    def turned(found: re.Match[str]) -> str:
        return _turned(found, source, uri)

    fenced = re.split(r"(```.*?```)", markdown, flags=re.S)
    return "".join(part if part.startswith("```") else _LINK.sub(turned, part) for part in fenced)


def _turned(found: re.Match[str], source: str, uri: str) -> str:
    picture, text, target = found.groups()
    path, _, anchor = target.partition("#")
    if re.match(r"[a-z]+:", target) or not path:
        return found[0]
    wanted = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    if wanted.startswith("docs/") and not wanted.startswith("docs/site_pages"):
        goal = wanted.removeprefix("docs/")
    elif wanted in INCLUDED:
        goal = INCLUDED[wanted]
    elif wanted in PICTURES:
        goal = _picture(wanted)
    else:
        if not (REPOSITORY / wanted).exists():
            _log.warning("%s has a link to %s, which is not there", source, target)
        return text
    relative = posixpath.relpath(goal, posixpath.dirname(uri) or ".")
    return f"{picture}[{text}]({relative}{'#' + anchor if anchor else ''})"


def _picture(path: str) -> str:
    return f"images/{posixpath.basename(path)}"
