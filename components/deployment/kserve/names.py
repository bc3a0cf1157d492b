"""The names that KServe makes of a target's: what is too long for a Service or a host name is said beforehand."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mainspring.components.common.errors import UserError
from mainspring.components.common.kubernetes_api import Api
from mainspring.components.deployment.kserve import objects, settings
from mainspring.components.deployment.targets import Target

PATTERN = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
"""What KServe's webhook takes as the name of an InferenceService."""

LABEL = 63
"""Letters in a part of a host name, and in a Service's name."""

HOST = 253
"""Letters in a host name."""

DOMAIN_TEMPLATE = "{{.Name}}-{{.Namespace}}.{{.IngressDomain}}"
"""KServe's own default: name and namespace share one label."""

DOMAIN = "example.com"
"""Stands for a domain that may not be read."""

REVISION = "-predictor-00001"
TAG = "latest-"
"""Knative puts a revision's tag before the predictor's name."""


def check(api: Api, target: Target, mode: str) -> None:
    """Looks at every name that a deployment makes of the target's.

    Raises:
        UserError: One cannot be; the message gives it, its length, and how many letters to save.
    """
    title = f"target kserve://{target.namespace}/{target.name}"
    if not PATTERN.fullmatch(target.name):
        raise UserError(
            f"{title}: KServe takes names of lower-case letters, digits and '-' that begin with a letter and end with "
            f"a letter or digit; {target.name!r} does not; choose another"
        )
    made = [*_joined(target, mode), *(_hosts(api, target) if mode == objects.STANDARD else [])]
    what, name, most = max(made, key=lambda each: len(each[1]) - each[2])
    if len(name) > most:
        raise UserError(
            f"{title}: {what} would be {name}, of {len(name)} letters, and {most} is the most; make the name or the "
            f"namespace {len(name) - most} shorter"
        )


def _joined(target: Target, mode: str) -> Iterator[tuple[str, str, int]]:
    """Gives what each name is, the name, and how long it may be."""
    if mode == objects.STANDARD:
        yield "the Service of a version that is tried", objects.predictor_name(objects.candidate_of(target)), LABEL
    else:
        yield "Knative's revision", f"{target.name}{REVISION}", LABEL
        yield "Knative's host name of the newest revision", f"{TAG}{objects.predictor_name(target)}", LABEL


def _hosts(api: Api, target: Target) -> Iterator[tuple[str, str, int]]:
    """Gives KServe's host names, which it makes of every service in Standard mode, also of one that gets no route."""
    template, domain = _domain(api)
    for service in (target, objects.candidate_of(target)):
        host = _host(template, objects.predictor_name(service), target.namespace, domain)
        yield "the host name", host, HOST
        for label in host.split("."):
            yield f"a part of the host name {host}", label, LABEL


def _domain(api: Api) -> tuple[str, str]:
    """Returns KServe's template of host names and its domain, or the usual ones where they may not be read."""
    ingress = settings.read(api, "ingress")
    return str(ingress.get("domainTemplate") or DOMAIN_TEMPLATE), str(ingress.get("ingressDomain") or DOMAIN)


def _host(template: str, name: str, namespace: str, domain: str) -> str:
    for field, value in (("Name", name), ("Namespace", namespace), ("IngressDomain", domain)):
        template = re.sub(r"\{\{-?\s*\." + field + r"\s*-?\}\}", value, template)
    # A template that also takes labels or conditions cannot be judged here.
    return "" if "{{" in template else template
