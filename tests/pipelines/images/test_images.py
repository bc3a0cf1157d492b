"""Images by name, and what is known about what is in them; no container engine is needed here."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mainspring.components.common.contents import debian_packages, python_packages
from mainspring.components.common.errors import UserError
from mainspring.pipelines import environments
from mainspring.pipelines.images import audit, bill_of_materials, dockerfiles, inventory

LOCK = f"jinja2==3.1.5 \\\n    --hash=sha256:{'0' * 64}\nmarkupsafe==3.0.2 \\\n    --hash=sha256:{'1' * 64}\n"

LOCK_FOLDER = "ingestion"
SANDBOX_BREAKOUT = {
    "id": "GHSA-cpwx-vrp4-4pq7",
    "summary": "Jinja2 vulnerable to sandbox breakout through attr filter selecting format method",
    "aliases": ["CVE-2025-27516"],
    "affected": [
        {
            "package": {"name": "jinja2", "ecosystem": "PyPI", "purl": "pkg:pypi/jinja2"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.1.6"}]}],
        }
    ],
}


class Advisories(BaseHTTPRequestHandler):
    """Stands for the OSV service, which cannot be reached from everywhere: knows one advisory, a real one."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        vulnerable = asked["package"]["name"] == self.server.vulnerable  # type: ignore[attr-defined]
        body = json.dumps({"vulns": [SANDBOX_BREAKOUT]} if vulnerable else {}).encode()
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def advisories() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Advisories)
    server.vulnerable, server.status = "", 200  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def audited(advisories: ThreadingHTTPServer, tmp_path: Path):
    (tmp_path / LOCK_FOLDER).mkdir()

    def ask() -> audit.Findings:
        lock = tmp_path / LOCK_FOLDER / "requirements.txt"
        lock.write_text(LOCK)
        url = f"http://127.0.0.1:{advisories.server_port}/v1/query"
        return audit.audit([lock], ["--vulnerability-service=osv", f"--osv-url={url}", "--timeout=5"], print)

    return ask


def test_locks_without_known_vulnerabilities_pass(audited) -> None:
    findings = audited()
    assert (findings.status, findings.packages) == (0, 2)


def test_a_known_vulnerability_fails_with_package_advisory_and_remedy(audited, advisories) -> None:
    advisories.vulnerable = "jinja2"
    findings = audited()
    assert findings.status == audit.VULNERABLE
    assert findings.vulnerabilities == {"jinja2 3.1.5: CVE-2025-27516, mended in 3.1.6"}


def test_a_service_that_does_not_answer_is_not_taken_for_a_clean_bill(audited, advisories) -> None:
    advisories.status = 500
    findings = audited()
    assert findings.status == audit.NOT_AUDITED
    assert len(findings.not_audited) == 1


def test_a_service_out_of_reach_is_named_with_the_lock_that_it_was_not_asked_about(audited, advisories) -> None:
    advisories.shutdown()
    advisories.server_close()
    findings = audited()
    assert (findings.status, findings.packages) == (audit.NOT_AUDITED, 0)
    (line,) = findings.not_audited
    assert line.startswith(f"{LOCK_FOLDER}/requirements.txt: ")


def test_a_bill_of_materials_is_valid_and_names_what_is_installed() -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    installed = list(python_packages())
    text = bill_of_materials.bill(inventory.images(["training"])[0], installed)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    found = {part["purl"]: part for part in json.loads(text)["components"]}
    (click,) = (part for url, part in found.items() if url.startswith("pkg:pypi/click@"))
    assert click["licenses"][0]["license"]["id"] == "BSD-3-Clause"


def test_debian_packages_are_listed_with_the_licences_of_their_copyright_files(tmp_path: Path) -> None:
    (tmp_path / "status").write_text(
        "Package: libz\nStatus: install ok installed\nVersion: 1.3-1\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n"
    )
    (tmp_path / "libz").mkdir()
    (tmp_path / "libz" / "copyright").write_text(
        "Files: *\nLicense: Zlib\n words\n\nFiles: x\nLicense: MIT\n\n"
        "Files: y\nLicense: Permission is hereby granted, free of charge\n"
    )
    assert list(debian_packages(tmp_path / "status", tmp_path)) == [
        {"kind": "deb", "name": "libz", "version": "1.3-1", "licence": "MIT AND Zlib"}
    ]
    assert list(debian_packages(tmp_path / "nothing", tmp_path)) == []


def test_every_folder_with_a_dockerfile_is_an_image_and_variants_are_named_by_their_lock() -> None:
    titles = {image.title: image.name for image in inventory.images()}
    assert titles["training"] == "mainspring/training:0.1.0"
    assert set(titles) == {path.parent.name for path in inventory.sources().glob("components/*/Dockerfile")}
    variants = inventory.images(["training-gpu", "training-tpu"])
    assert [image.name for image in variants] == ["mainspring/training:0.1.0-gpu", "mainspring/training:0.1.0-tpu"]
    with pytest.raises(UserError, match=r"no image 'serving-gpu'; there are deployment, "):
        inventory.images(["serving-gpu"])


def test_every_folder_with_a_lock_has_a_dockerfile_whose_last_stage_installs_no_debian_package() -> None:
    assert set(dockerfiles.RECIPES) == set(environments.FOLDERS)
    for image in inventory.images():
        text = image.dockerfile.read_text()
        assert text == dockerfiles.dockerfile(image.folder)
        final = text[text.rindex("\nFROM ${BASE}\n") :]
        assert "apt-get" not in final
        assert "install.sh packages" not in final
        assert "USER 65532:65532" in final


@pytest.mark.parametrize(
    ("variant", "pythons"),
    [("training-gpu", ("3.12", "3.13")), ("training-tpu", ("3.12",))],  # libtpu has no wheel for 3.13.
)
def test_the_locks_of_other_accelerators_fit_linux(variant: str, pythons: tuple[str, ...], tmp_path: Path) -> None:
    lock = inventory.images([variant])[0].lock
    for python in pythons:
        resolved = subprocess.run(
            [
                *(environments.uv(), "pip", "install", "--dry-run", "--quiet", "--require-hashes", "--no-deps"),
                *("--python-version", python, "--python-platform", "x86_64-manylinux_2_40"),
                *("--only-binary", ":all:", "--target", str(tmp_path), "--requirements", str(lock)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert resolved.returncode == 0, resolved.stderr
