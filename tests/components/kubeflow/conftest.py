"""These tests' servers speak plain HTTP: a client that loads the system's certificates anew waits for nothing."""

import os
import ssl
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def no_certificates(tmp_path_factory: pytest.TempPathFactory):
    """Has OpenSSL look for authorities where there are none, which takes no time."""
    nowhere: Path = tmp_path_factory.mktemp("no-certificates")
    paths = ssl.get_default_verify_paths()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, paths.openssl_cafile_env, str(nowhere / "none.pem"))
        patch.setitem(os.environ, paths.openssl_capath_env, str(nowhere))
        yield
