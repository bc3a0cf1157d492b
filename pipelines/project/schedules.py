"""A project's schedules in one environment, as the schedules file that `schedule apply` knows."""

from __future__ import annotations

from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.pipelines.cluster import schedule_file
from mainspring.pipelines.cluster.schedule_file import Schedule, ScheduleFile
from mainspring.pipelines.parameters.written import Written
from mainspring.pipelines.project.in_environment import Compiled
from mainspring.pipelines.project.project_file import Environment, Project


def schedules(project: Project, environment: Environment, compiled: dict[str, Compiled]) -> ScheduleFile:
    """Returns the schedules of an environment; each is named `<project>-<schedule>`.

    Args:
        project: The project.
        environment: The environment.
        compiled: Its pipelines by their names in the project.

    Raises:
        UserError: A schedule has an unknown key or a wrong value.
    """
    found = []
    for name, keys in project.schedules.items():
        of_environment = environment.of_schedules.get(name, {})
        merged: dict[str, Any] = {key: _plain(value) for key, value in {**keys, **of_environment}.items()}
        parameters = {**_parameters(keys), **_parameters(of_environment)}
        merged["parameters"] = parameters
        merged["name"] = f"{project.name}-{name}"
        merged["pipeline"] = compiled[str(merged["pipeline"])].name
        merged.setdefault("experiment", environment.experiment)
        merged.setdefault("service_account", environment.service_account)
        found.append(_read(merged, project, environment))
    ready = {each.name: each.text for each in compiled.values()}
    group = f"{project.name}.{environment.name}"
    return ScheduleFile(tuple(found), group, project.controller_time_zone, ready)


def _read(merged: dict[str, Any], project: Project, environment: Environment) -> Schedule:
    try:
        return schedule_file.schedule(merged, 0, project.time_zone, project.path)
    except UserError as error:
        raise UserError(f"{error} (environment {environment.name})") from error


def _parameters(keys: dict[str, Written]) -> dict[str, Any]:
    given = keys.get("parameters")
    return dict(given.content) if given and isinstance(given.content, dict) else {}


def _plain(value: Written) -> Any:
    """Returns a value of a schedule as YAML means it; its parameters stay as they are spelled."""
    content = value.content
    if isinstance(content, dict):
        return {key: _plain(inner) for key, inner in content.items()}
    if isinstance(content, list):
        return [_plain(inner) for inner in content]
    if value.tag == "bool" and not value.is_quoted:
        return content.lower() in ("true", "yes", "on")
    if value.tag == "int" and not value.is_quoted and content.isdigit():
        return int(content)
    return None if value.tag == "null" and not value.is_quoted else content
