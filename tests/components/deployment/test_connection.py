"""Every way in which a cluster says who we are, against a server that looks at what it is sent."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import ssl
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mainspring.components.common.errors import UserError
from mainspring.components.deployment.kserve import api, connection


class Answer(http.server.BaseHTTPRequestHandler):
    """Says yes to one token."""

    def do_GET(self) -> None:
        asked = self.headers.get("Authorization", "")
        self.server.asked.append(asked)  # type: ignore[attr-defined]
        status = 200 if asked == self.server.wanted else 401  # type: ignore[attr-defined]
        body = b'{"kind": "Status", "message": "seen"}'
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that is its own authority, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cluster")])
    now = datetime.datetime.now(datetime.timezone.utc)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.Encoding.PEM
    secret = key.private_bytes(form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "server.pem").write_bytes(secret + made.public_bytes(form))
    (tmp_path / "ca.crt").write_bytes(made.public_bytes(form))
    return tmp_path / "server.pem"


@pytest.fixture
def server(authority: Path) -> Iterator[http.server.ThreadingHTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as made:
        made.asked, made.wanted = [], "Bearer new"  # type: ignore[attr-defined]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority)
        made.socket = context.wrap_socket(made.socket, server_side=True)
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


@pytest.fixture
def kubeconfig(server, tmp_path: Path, monkeypatch):
    """Writes a kubeconfig with this user and returns the connection that it gives."""
    monkeypatch.setattr(connection, "SERVICE_ACCOUNT", str(tmp_path / "no-account"))

    def write(user: dict[str, Any] | None) -> api.Api:
        cluster = {"server": f"https://127.0.0.1:{server.server_port}", "certificate-authority": "ca.crt"}
        content = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k"} | ({"user": "u"} if user is not None else {})}],
            "clusters": [{"name": "k", "cluster": cluster}],
            "users": [{"name": "u", "user": user or {}}],
        }
        (tmp_path / "config").write_text(yaml.safe_dump(content))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        return api.connect()

    return write


def test_a_pod_is_its_service_account_and_a_token_that_expired_is_read_anew(server, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(connection, "SERVICE_ACCOUNT", str(tmp_path))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.server_port))
    (tmp_path / "token").write_text("old\n")
    (tmp_path / "namespace").write_text("team")
    server.wanted = "Bearer old"
    cluster = api.connect()
    assert cluster.get("/api")["message"] == "seen"
    (tmp_path / "token").write_text("new\n")
    server.wanted = "Bearer new"
    assert cluster.get("/api")["message"] == "seen"
    assert server.asked == ["Bearer old", "Bearer old", "Bearer new"]


@pytest.mark.parametrize("version", ["v1beta1", "v1"])
def test_a_credential_plugin_is_told_what_is_asked_of_it(version: str, kubeconfig, tmp_path) -> None:
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "import json, os\nasked = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n"
        f"assert asked['apiVersion'].endswith('/{version}') and asked['spec'] == {{'interactive': False}}\n"
        "print(json.dumps({'apiVersion': asked['apiVersion'], 'status': {'token': 'new'}}))\n"
    )
    program = {
        "apiVersion": f"client.authentication.k8s.io/{version}",
        "command": sys.executable,
        "args": [str(plugin)],
    }
    assert kubeconfig({"exec": program}).get("/api")["message"] == "seen"


def test_a_credential_plugin_that_fails_or_is_missing_is_named_at_once(kubeconfig) -> None:
    program = {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plugin"}
    with pytest.raises(UserError, match=r"GET /api: the kubeconfig's user has no token: .*no-such-plugin"):
        kubeconfig({"exec": program}).get("/api")
    program = {"apiVersion": "client.authentication.k8s.io/v1", "command": "false"}
    with pytest.raises(UserError, match=r"the kubeconfig's user has no token: Exec false returned 1"):
        kubeconfig({"exec": program}).get("/api")


def test_a_context_without_a_user_asks_as_nobody(server, kubeconfig) -> None:
    server.wanted = ""
    assert kubeconfig(None).get("/api")["message"] == "seen"


def test_a_certificate_of_another_authority_is_refused(server, kubeconfig, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(api, "PATIENCE_SECONDS", 0.1)
    kubeconfig({"token": "new"})
    text = (tmp_path / "config").read_text()
    (tmp_path / "config").write_text(text.replace("certificate-authority: ca.crt", "insecure-skip-tls-verify: false"))
    with pytest.raises(api.ApiError, match=r"no answer: .*certificate verify failed"):
        api.connect().get("/api")
    assert server.asked == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "not found"),
        ("a: [", "while parsing"),
        ("- a", "no Kubernetes configuration"),
        ("clusters: []", "'contexts' is missing"),
        ("clusters: []\ncontexts: []\ncurrent-context: prod", "Context 'prod' not found"),
        ("clusters: []\ncontexts: []", "No current context"),
    ],
)
def test_a_kubeconfig_of_no_use_is_one_line(content: str | None, words: str, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(connection, "SERVICE_ACCOUNT", str(tmp_path / "no-account"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    if content is not None:
        (tmp_path / "config").write_text(content)
    with pytest.raises(UserError, match=words) as refused:
        api.connect()
    assert "\n" not in str(refused.value)
    assert "point $KUBECONFIG at one" in str(refused.value)


def test_two_files_in_kubeconfig_are_not_silently_one(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(connection, "SERVICE_ACCOUNT", str(tmp_path / "no-account"))
    monkeypatch.setenv("KUBECONFIG", "/a/config:/b/config")
    with pytest.raises(UserError, match=r"\$KUBECONFIG names 2 files; name one"):
        api.connect()
