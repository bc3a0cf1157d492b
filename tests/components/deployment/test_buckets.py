from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bucket_servers
import pytest

from mainspring.components.common import buckets
from mainspring.components.common.errors import UserError


@pytest.fixture(scope="module", params=["gs", "s3"])
def scheme(request):
    with (bucket_servers.google if request.param == "gs" else bucket_servers.s3)():
        yield request.param


@pytest.fixture
def bucket(scheme) -> str:
    return bucket_servers.new_bucket(scheme)


def test_what_is_created_is_found_read_and_removed(bucket):
    created = buckets.create(f"{bucket}/a/b.txt", b"hello")
    assert buckets.stat(f"{bucket}/a/b.txt") == created
    assert buckets.list_objects(f"{bucket}/a") == buckets.list_objects(bucket) == [created]
    assert buckets.read(f"{bucket}/a/b.txt") == b"hello"
    buckets.delete([created, created])
    assert buckets.stat(f"{bucket}/a/b.txt") is None
    assert buckets.list_objects(bucket) == []


def test_an_object_is_created_once_only(bucket):
    buckets.create(f"{bucket}/x", b"first")
    with pytest.raises(buckets.AlreadyExists, match="exists already"):
        buckets.create(f"{bucket}/x", b"second")
    assert buckets.read(f"{bucket}/x") == b"first"


def test_of_many_writers_at_once_one_creates_the_object(bucket):
    def attempt(number: int) -> int:
        try:
            buckets.create(f"{bucket}/marker", str(number).encode())
        except buckets.AlreadyExists:
            return -1
        return number

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(attempt, range(8)))
    (winner,) = [number for number in outcomes if number >= 0]
    assert buckets.read(f"{bucket}/marker") == str(winner).encode()


def test_an_object_that_somebody_rewrote_is_not_replaced(bucket):
    first = buckets.create(f"{bucket}/x", b"first")
    second = buckets.replace(first, b"second")
    with pytest.raises(buckets.AlreadyExists, match="somebody else"):
        buckets.replace(first, b"third")
    assert buckets.read(second.uri) == b"second"


def test_an_object_rewritten_since_it_was_found_is_not_downloaded(bucket, tmp_path):
    found = buckets.create(f"{bucket}/x", b"first")
    buckets.replace(found, b"other")
    with pytest.raises(buckets.NotFound, match="rewritten"):
        buckets.download(found, tmp_path / "x")


def test_a_tree_goes_there_and_back(bucket, tmp_path):
    tree = tmp_path / "tree"
    for name, content in {"a": b"1", "b/c": b"2" * 300_000, "b/d/empty": b""}.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
    buckets.upload_tree(tree, f"{bucket}/models/1")
    buckets.download_tree(f"{bucket}/models/1", tmp_path / "back")
    files = {path.relative_to(tree) for path in tree.rglob("*") if path.is_file()}
    assert files == {path.relative_to(tmp_path / "back") for path in (tmp_path / "back").rglob("*") if path.is_file()}
    assert all((tree / name).read_bytes() == (tmp_path / "back" / name).read_bytes() for name in files)
    with pytest.raises(buckets.AlreadyExists):
        buckets.upload_tree(tree, f"{bucket}/models/1")


def test_folder_markers_do_no_harm(bucket, tmp_path):
    buckets.create(f"{bucket}/m/1/file", b"x")
    for marker in ("m", "m/1", "m/2"):
        bucket_servers.make_marker(f"{bucket}/{marker}")
    assert [found.uri for found in buckets.list_objects(f"{bucket}/m")] == [f"{bucket}/m/1/file"]
    assert "1" in buckets.list_names(f"{bucket}/m")
    buckets.download_tree(f"{bucket}/m", tmp_path / "copy")
    assert [path.name for path in (tmp_path / "copy").rglob("*") if path.is_file()] == ["file"]


def test_names_are_those_directly_in_the_folder(bucket):
    for name in ("m/1/x", "m/12/y/z", "m/lock", "mm/3/x"):
        buckets.create(f"{bucket}/{name}", b"x")
    assert buckets.list_names(f"{bucket}/m") == ["1", "12", "lock"]
    assert buckets.list_names(bucket) == ["m", "mm"]


def test_a_local_copy_is_made_once_and_again_when_something_changed(bucket, tmp_path):
    found = buckets.create(f"{bucket}/m/1/file", b"x")
    folder = buckets.local_copy(f"{bucket}/m/1")
    assert (folder / "file").read_bytes() == b"x"
    assert buckets.local_copy(f"{bucket}/m/1/") == folder
    assert buckets.local_copy(f"{bucket}/m/1/file").read_bytes() == b"x"
    buckets.replace(found, b"yy")
    assert (buckets.local_copy(f"{bucket}/m/1") / "file").read_bytes() == b"yy"
    assert buckets.local_copy(str(tmp_path)) == tmp_path
    with pytest.raises(buckets.NotFound):
        buckets.local_copy(f"{bucket}/nothing")


@pytest.mark.parametrize(
    "call",
    [
        lambda uri: buckets.list_objects(uri),
        lambda uri: buckets.create(f"{uri}/x", b""),
        lambda uri: buckets.read(f"{uri}/x"),
    ],
)
def test_a_bucket_that_is_not_there_is_one_line(scheme, call):
    with pytest.raises(UserError, match=f"{scheme}://no-such-bucket") as caught:
        call(f"{scheme}://no-such-bucket")
    assert len(str(caught.value)) < 400


def test_an_empty_folder_is_not_downloaded_in_silence(bucket, tmp_path):
    with pytest.raises(buckets.NotFound, match="no such folder"):
        buckets.download_tree(f"{bucket}/nothing", tmp_path / "copy")


@pytest.mark.parametrize("uri", ["gs://", "s3:///x", "/a/path", "http://host/x"])
def test_what_names_no_bucket_is_refused(uri):
    with pytest.raises(UserError, match="names no bucket"):
        buckets.split(uri)


def test_a_bucket_that_refuses_is_one_line_that_says_so(tmp_path):
    # IAM is what neither stand-in has: this server refuses everything, as a real one refuses those without rights.
    code = (
        "import http.server, os, threading\n"
        "class Refusing(http.server.BaseHTTPRequestHandler):\n"
        "    def answer(self):\n"
        "        self.send_response(403); self.send_header('Content-Length', '0'); self.end_headers()\n"
        "    do_GET = do_PUT = do_POST = do_HEAD = answer\n"
        "    def log_message(self, *_): pass\n"
        "server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Refusing)\n"
        "threading.Thread(target=server.serve_forever, daemon=True).start()\n"
        "url = f'http://127.0.0.1:{server.server_address[1]}'\n"
        "os.environ.update(AWS_ENDPOINT_URL=url, STORAGE_EMULATOR_HOST=url)\n"
        "from mainspring.components.common import buckets\n"
        "from mainspring.components.common.errors import UserError\n"
        "for uri in ('gs://b/x', 's3://b/x'):\n"
        "    for call in (buckets.list_objects, buckets.read, lambda uri: buckets.create(uri, b'')):\n"
        "        try: call(uri)\n"
        "        except UserError as error: print(error)\n"
    )
    env = os.environ | bucket_servers.AWS
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env, timeout=60)
    lines = done.stdout.splitlines()
    assert len(lines) == 6, done.stdout + done.stderr
    assert all(("gs://b" in line or "s3://b" in line) and "cannot be" in line for line in lines)
    assert all("403" in line for line in lines), lines


def test_nothing_of_a_cloud_is_imported_for_local_files(tmp_path):
    code = (
        "import sys\nfrom mainspring.components.common import buckets\n"
        f"buckets.local_copy({str(Path(tmp_path))!r})\n"
        "print([name for name in sys.modules if name.startswith(('google', 'obstore'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("[]", "['google']")
