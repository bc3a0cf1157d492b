"""Removes a run's containers when its engine is gone: `python -m mainspring.pipelines.engines.container_reaper LABEL`.

Standard input is a pipe from the engine. It ends when the engine does, killed or not; an engine that ends as it should
has removed its containers before.
"""

from __future__ import annotations

import contextlib
import sys

from mainspring.pipelines.engines import container_engine


def main(label: str) -> None:
    """Waits for the engine's end, and removes what it left."""
    sys.stdin.buffer.read()
    import docker.errors

    with contextlib.closing(container_engine.connect()) as client:
        for container in client.containers.list(all=True, filters={"label": label}, sparse=True):
            with contextlib.suppress(docker.errors.APIError):
                container.remove(force=True)


if __name__ == "__main__":
    main(sys.argv[1])
