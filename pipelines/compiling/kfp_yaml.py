"""Compiled pipelines and components as text, and the files of this repository that hold them.

`python -m mainspring.pipelines.compiling.kfp_yaml` writes those files. With `--check` it fails if one of them is out of
date.
"""

from __future__ import annotations

import contextlib
import copy
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mainspring import components
from mainspring.components.common import storage
from mainspring.components.common.errors import UserError
from mainspring.components.common.images import REPOSITORY
from mainspring.pipelines import environments
from mainspring.pipelines.compiling import catalogue, never_cached, step_sources
from mainspring.pipelines.compiling.light_kfp import compiler, pipeline_spec_builder
from mainspring.pipelines.images import digests as image_digests
from mainspring.pipelines.images import dockerfiles


def compiled(component: Any, registry: str = "", digests: Path | None = None) -> str:
    """Returns a pipeline or component as KFP's YAML.

    Args:
        component: What `@dsl.pipeline` or `@dsl.component` returned.
        registry: Put before every image of Mainspring's, such as `registry.example.com/team`; empty: the images as
            named.
        digests: A file of `mainspring images push`, by which the images are named instead.

    Raises:
        UserError: Both are given, or the file lacks an image.
    """
    if registry and digests:
        raise UserError("give a registry or a file of digests, which names the registry, not both")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "compiled.yaml"
        with _each_default_on_one_line():
            whole = never_cached.without_needless_caching(step_sources.brief(component))
            compiler.Compiler().compile(whole, str(path))
        text = path.read_text(encoding="utf-8")
    if registry:
        text = re.sub(rf"(?m)^(\s*image: )({REPOSITORY}/)", rf"\g<1>{registry.rstrip('/')}/\g<2>", text)
    return image_digests.applied(text, digests) if digests else text


@contextlib.contextmanager
def _each_default_on_one_line() -> Iterator[None]:
    """Has KFP write each parameter on one line of the comment at the head of its file.

    KFP writes defaults there as they are: a line break in one ends the comment, and what follows is no YAML.
    """
    write = pipeline_spec_builder.extract_comments_from_pipeline_spec

    def write_in_lines(pipeline_spec: dict[str, Any], pipeline_description: str) -> str:
        readable = copy.deepcopy({name: pipeline_spec[name] for name in ("root", "pipelineInfo")})
        for parameter in readable["root"].get("inputDefinitions", {}).get("parameters", {}).values():
            if isinstance(parameter.get("defaultValue"), str):
                parameter["defaultValue"] = _printable(parameter["defaultValue"])
        return write(readable, "\n".join(_printable(line) for line in (pipeline_description or "").splitlines()))

    pipeline_spec_builder.extract_comments_from_pipeline_spec = write_in_lines
    try:
        yield
    finally:
        pipeline_spec_builder.extract_comments_from_pipeline_spec = write


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def generated_files() -> dict[Path, str]:
    """Returns the content of every generated file of the repository, by path."""
    from mainspring.pipelines import accelerators  # They import all of kfp and Kubernetes' client.
    from mainspring.pipelines.compiling import components_page  # They import all of kfp and Kubernetes' client.

    files = {
        environments.COMPONENTS / folder / f"{name}.yaml": compiled(getattr(components, name))
        for name, folder in components.COMPONENTS.items()
    }
    pipelines = (*catalogue.BUILT_IN, *(f"{catalogue.TRAINING}{name}" for name in accelerators.SHIPPED))
    files[environments.COMPONENTS / "README.md"] = components_page.page()
    for folder in dockerfiles.RECIPES:
        files[environments.COMPONENTS / folder / "Dockerfile"] = dockerfiles.dockerfile(folder)
    return files | {environments.PIPELINES / f"{name}.yaml": compiled(catalogue.load(name)) for name in pipelines}


def write(files: Mapping[Path, str], *, check: bool) -> int:
    """Writes the files that are not as given or, to check, says which are not; returns the exit status."""
    outdated = [
        (path, text) for path, text in files.items() if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    for path, text in outdated:
        if check:
            print(f"{path}: is out of date; run `make compile` and commit it", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            storage.write_atomically(path, text)
            print(path)
    return 1 if outdated and check else 0


if __name__ == "__main__":
    sys.exit(write(generated_files(), check="--check" in sys.argv[1:]))
