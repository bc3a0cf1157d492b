"""Images: whether a cluster could pull them, as far as their registry tells somebody without a login."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mainspring.pipelines.doctor.findings import NOTE, OK, WRONG, Finding

KINDS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
SECONDS = 5


def check_images(images: tuple[str, ...]) -> Iterator[Finding]:
    """Yields a finding for each image that a compiled pipeline names."""
    without = [image for image in images if not _registry(image)]
    if without:
        fix = "compile with --digests of `mainspring images push`, or with --registry"
        yield Finding("images", WRONG, f"{len(without)} name no registry ({without[0]} …)", fix)
    for image in images:
        if _registry(image):
            yield _check(image)


def _check(image: str) -> Finding:
    import requests

    registry = _registry(image)
    name, reference = _split(image.removeprefix(f"{registry}/"))
    local = registry.partition(":")[0] in ("localhost", "127.0.0.1")
    url = f"{'http' if local else 'https'}://{registry}/v2/{name}/manifests/{reference}"
    check = f"image {name}"
    try:
        answer = requests.head(url, headers={"Accept": ", ".join(KINDS)}, timeout=SECONDS)
        if answer.status_code == 401 and (token := _anonymous_token(answer.headers.get("www-authenticate", ""))):
            headers = {"Accept": ", ".join(KINDS), "Authorization": f"Bearer {token}"}
            answer = requests.head(url, headers=headers, timeout=SECONDS)
    except requests.exceptions.RequestException as error:
        return Finding(check, NOTE, f"{registry} cannot be reached from here ({type(error).__name__})")
    if answer.status_code == 200:
        return Finding(check, OK, f"{registry} gives {reference[:19]} to everybody")
    if answer.status_code in (401, 403):
        fix = "see that the run's service account has an imagePullSecret for it, or that the nodes may pull"
        return Finding(check, NOTE, f"{registry} wants a login", fix)
    if answer.status_code == 404:
        return Finding(check, WRONG, f"{registry} has no {reference[:19]}", "push it: make images REGISTRY=… PUSH=1")
    return Finding(check, NOTE, f"{registry} answers {answer.status_code}")


def _anonymous_token(challenge: str) -> str:
    """Returns the token that a registry's token server gives without a login; empty if it gives none."""
    import requests

    asked = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    if not asked.get("realm", "").startswith(("http://", "https://")):
        return ""
    query = {key: asked[key] for key in ("service", "scope") if key in asked}
    answer = requests.get(asked["realm"], params=query, timeout=SECONDS)
    try:
        content = answer.json()
    except ValueError:
        return ""
    return str(content.get("token") or content.get("access_token") or "")


def _registry(image: str) -> str:
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else ""


def _split(name: str) -> tuple[str, str]:
    if "@" in name:
        base, _, digest = name.partition("@")
        return base.partition(":")[0], digest
    base, _, tag = name.partition(":")
    return base, tag or "latest"
