"""`mainspring.yaml`: read and checked as it is written; each fault in one line with file and line."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.pipelines.parameters import written
from mainspring.pipelines.parameters.written import Written

FILE = "mainspring.yaml"
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""Of pipelines, schedules and environments: what Kubernetes takes as a name."""

TOP = ("project", "time_zone", "controller_time_zone", "pipelines", "schedules", "environments")
PIPELINE = ("pipeline", "parameters", "caching")
ENVIRONMENT = (
    "host",
    "namespace",
    "ui_host",
    "registry",
    "digests",
    "experiment",
    "service_account",
    "parameters",
    "pipelines",
    "schedules",
)
OF_ENVIRONMENT = ("parameters",)
"""What an environment says of one pipeline."""

Values = dict[str, Written]


@dataclass(frozen=True)
class Pipeline:
    """One pipeline of the file."""

    name: str
    pipeline: str
    """A built-in name, `module:function`, or a compiled YAML file."""
    parameters: Values = field(default_factory=dict)
    caching: bool = True


@dataclass(frozen=True)
class Environment:
    """Where, and with which values, the pipelines run."""

    name: str
    host: str = ""
    """Of Kubeflow Pipelines; empty: this machine, or what the command says."""
    namespace: str = ""
    ui_host: str = ""
    registry: str = ""
    digests: str = ""
    experiment: str = ""
    service_account: str = ""
    parameters: Values = field(default_factory=dict)
    """Of every pipeline that has them."""
    of_pipelines: dict[str, Values] = field(default_factory=dict)
    of_schedules: dict[str, Values] = field(default_factory=dict)
    """What is otherwise here in a schedule: any of its keys, by schedule."""


@dataclass(frozen=True)
class Project:
    """What the file says."""

    path: Path
    name: str
    pipelines: dict[str, Pipeline]
    schedules: dict[str, Values]
    """A schedule's keys, as in a schedules file, by its name; `pipeline` is one of the file's."""
    environments: dict[str, Environment]
    time_zone: str = "UTC"
    controller_time_zone: str = "UTC"

    def environment(self, name: str) -> Environment:
        """Returns an environment by its name.

        Raises:
            UserError: There is none.
        """
        return _named(self.environments, name, f"{self.path}: environment")

    def pipeline(self, name: str) -> Pipeline:
        """Returns a pipeline by its name.

        Raises:
            UserError: There is none.
        """
        return _named(self.pipelines, name, f"{self.path}: pipeline")


def read(path: Path) -> Project:
    """Reads a project file.

    Raises:
        UserError: It cannot be read, or something in it is unknown, missing or wrong.
    """
    content = written.read(path)
    top = _mapping(content, f"{path}", TOP) if content else {}
    for needed in ("project", "pipelines", "environments"):
        if needed not in top:
            raise UserError(f"{path}: needs {needed}")
    pipelines = {name: _pipeline(name, each) for name, each in _items(top["pipelines"], "pipelines").items()}
    schedules = {
        name: _mapping(each, f"{each.where}: schedule {name}")
        for name, each in (_items(top["schedules"], "schedules") if "schedules" in top else {}).items()
    }
    project = Project(
        path=path,
        name=_name(_text(top["project"], "project"), top["project"]),
        pipelines=pipelines,
        schedules=schedules,
        environments={
            name: _environment(name, each) for name, each in _items(top["environments"], "environments").items()
        },
        time_zone=_text(top["time_zone"], "time_zone") if "time_zone" in top else "UTC",
        controller_time_zone=_text(top["controller_time_zone"], "controller_time_zone")
        if "controller_time_zone" in top
        else "UTC",
    )
    _refuse_unknown_names(project)
    return project


def _pipeline(name: str, given: Written) -> Pipeline:
    values = _mapping(given, f"{given.where}: pipeline {name}", PIPELINE)
    if "pipeline" not in values:
        raise UserError(f"{given.where}: pipeline {name}: needs pipeline, such as continuous_training")
    return Pipeline(
        name=name,
        pipeline=_text(values["pipeline"], "pipeline"),
        parameters=_parameters(values),
        caching=_truth(values["caching"], "caching") if "caching" in values else True,
    )


def _environment(name: str, given: Written) -> Environment:
    values = _mapping(given, f"{given.where}: environment {name}", ENVIRONMENT)
    pipelines = _items(values["pipelines"], "pipelines") if "pipelines" in values else {}
    schedules = _items(values["schedules"], "schedules") if "schedules" in values else {}
    texts = {key: _text(values[key], key) for key in ENVIRONMENT[:7] if key in values}
    return Environment(
        name=name,
        **texts,
        parameters=_parameters(values),
        of_pipelines={
            each: _parameters(_mapping(inner, f"{inner.where}: {each}", OF_ENVIRONMENT))
            for each, inner in pipelines.items()
        },
        of_schedules={each: _mapping(inner, f"{inner.where}: {each}") for each, inner in schedules.items()},
    )


def _refuse_unknown_names(project: Project) -> None:
    for name, schedule in project.schedules.items():
        if "pipeline" not in schedule:
            raise UserError(f"{project.path}: schedule {name}: needs pipeline, one of {', '.join(project.pipelines)}")
        given = schedule["pipeline"]
        _named(project.pipelines, _text(given, "pipeline"), f"{given.where}: pipeline")
    for environment in project.environments.values():
        for name in environment.of_pipelines:
            _named(project.pipelines, name, f"{project.path}: environment {environment.name}: pipeline")
        for name, changed in environment.of_schedules.items():
            _named(project.schedules, name, f"{project.path}: environment {environment.name}: schedule")
            if "pipeline" in changed:
                other = changed["pipeline"]
                _named(project.pipelines, _text(other, "pipeline"), f"{other.where}: pipeline")


def _named(known: dict[str, Any], name: str, what: str) -> Any:
    if name not in known:
        close = difflib.get_close_matches(name, list(known), n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known) or 'none'}"
        raise UserError(f"{what} {name!r}: is not in the file; {hint}")
    return known[name]


def _items(given: Written, what: str) -> Values:
    values = _mapping(given, f"{given.where}: {what}")
    for name in values:
        _name(name, values[name])
    return values


def _name(name: str, given: Written) -> str:
    if not NAME.fullmatch(name):
        raise UserError(f"{given.where}: the name {name!r}: use lower-case letters, digits and dashes")
    return name


def _parameters(values: Values) -> Values:
    given = values.get("parameters")
    return _mapping(given, f"{given.where}: parameters") if given else {}


def _mapping(given: Written | None, where: str, known: tuple[str, ...] = ()) -> Values:
    content = given.content if given else {}
    if given is not None and content == "" and given.tag == "null":
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{where}: must be a mapping of names to values")
    for key in content if known else ():
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
            raise UserError(f"{where}: unknown key {key}; {hint}")
    return dict(content)


def _text(given: Written, what: str) -> str:
    if not isinstance(given.content, str) or (given.tag == "null" and not given.is_quoted):
        raise UserError(f"{given.where}: {what}: must be text")
    return given.content


def _truth(given: Written, what: str) -> bool:
    if given.tag != "bool" or not isinstance(given.content, str) or given.content.lower() not in ("true", "false"):
        raise UserError(f"{given.where}: {what}: must be true or false")
    return given.content.lower() == "true"
