from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published version."""
    import logs

    return logs.publish(tmp_path_factory.mktemp("models") / "1")


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """An empty bucket of a real GCS server on loopback."""
    from gcs_server import google_storage
    from google.cloud import storage

    name = f"b{uuid.uuid4().hex}"
    with google_storage():
        storage.Client(project=None).create_bucket(name)
        yield f"gs://{name}"
