"""The front before real HTTP servers: routing, switching under load, draining, and what it refuses."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Backend(ThreadingHTTPServer):
    """Answers every request with its version, as soon as it `may_answer`."""

    daemon_threads = True

    def __init__(self, version: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.version, self.seen, self.may_answer = version, [], threading.Event()
        self.may_answer.set()
        threading.Thread(target=self.serve_forever, args=[0.01], daemon=True).start()

    @property
    def port(self) -> int:
        return self.server_address[1]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # Headers and body are two writes: together they would wait 40 ms.
    wbufsize = -1  # One segment per response: two would wait for each other (Nagle), 40 ms each.

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append((self.command, self.path, dict(self.headers), body))
        self.server.may_answer.wait()
        text = json.dumps({"version": self.server.version}).encode()
        self.send_response(418 if self.path.startswith("/teapot") else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Own", "kept")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = answer

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def backends():
    servers = [Backend(1), Backend(2)]
    yield servers
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def front(launch, until, tmp_path):
    """A running front: its port, and a function that reads or sets its routes."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    report = tmp_path / "front.json"
    process = launch("front", "--name", "flights", "--port", str(port), "--report", str(report))
    until(report.exists)
    said = json.loads(report.read_text())

    def routes(table=None, token=said["token"]):
        connection = http.client.HTTPConnection("127.0.0.1", said["control_port"], timeout=300)
        method, body = ("GET", None) if table is None else ("PUT", json.dumps(table))
        connection.request(method, "/routes", body, {"Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        content = response.status, json.loads(response.read())
        connection.close()
        return content

    yield process, port, routes
    process.terminate()
    process.wait()


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def all_to(backend: Backend) -> list[dict[str, object]]:
    return [{"version": backend.version, "port": backend.port, "percent": 100}]


def test_without_a_route_it_answers_503_with_one_line(front, ask):
    answer = ask(front[1], "POST", "/v1/models/flights:predict", {})
    assert (answer.status, answer.content) == (503, {"error": "flights: no version is served"})


def test_it_passes_on_method_path_headers_body_and_status(front, backends, ask):
    _, port, routes = front
    assert routes(all_to(backends[0]))[0] == 200
    answer = ask(port, "POST", "/teapot/a%2Fb?q=1%202", {"rows": [1]}, {"X-Request-Id": "7"})
    method, path, headers, body = backends[0].seen[-1]
    assert (method, path, json.loads(body)) == ("POST", "/teapot/a%2Fb?q=1%202", {"rows": [1]})
    assert {key.lower(): value for key, value in headers.items()}["x-request-id"] == "7"
    assert answer.status == 418
    assert answer.headers["x-own"] == "kept"
    assert answer.headers["x-mainspring-version"] == "1"


def test_connections_to_the_model_server_are_kept(front, backends, ask):
    _, port, routes = front
    routes(all_to(backends[0]))
    accepted = []
    backends[0].verify_request = lambda request, address: accepted.append(address) or True
    for _ in range(20):
        assert ask(port, "GET", "/").status == 200
    assert len(accepted) == 1


def test_a_thousand_requests_under_switches_none_fails(front, backends):
    _, port, routes = front
    routes(all_to(backends[0]))
    failed, answered, done = [], [], threading.Event()

    def load() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        while not done.is_set():
            connection.request("POST", "/v1/models/flights:predict", b"{}")
            response = connection.getresponse()
            content = response.read()
            (answered if response.status == 200 else failed).append(json.loads(content).get("version"))

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(40):
        before = len(answered)
        routes(all_to(backends[turn % 2]))
        while len(answered) < before + 25:
            time.sleep(0.001)
    done.set()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(answered) >= 1000
    assert set(answered) == {1, 2}


def test_a_request_in_flight_finishes_on_the_version_that_got_it(front, backends, ask, until):
    _, port, routes = front
    routes(all_to(backends[0]))
    backends[0].may_answer.clear()
    answers = []
    thread = threading.Thread(target=lambda: answers.append(ask(port, "GET", "/slow").content))
    thread.start()
    busy = str(backends[0].port)
    until(lambda: routes()[1]["in_flight"].get(busy) == 1)
    routes(all_to(backends[1]))
    assert ask(port, "GET", "/").content == {"version": 2}
    assert routes()[1]["in_flight"] == {busy: 1}
    backends[0].may_answer.set()
    thread.join()
    assert answers == [{"version": 1}]
    until(lambda: routes()[1]["in_flight"] == {})


def test_percentages_share_the_traffic(front, backends, ask):
    _, port, routes = front
    table = [{"version": b.version, "port": b.port, "percent": p} for b, p in zip(backends, (80, 20), strict=True)]
    routes(table)
    versions = [ask(port, "GET", "/").content["version"] for _ in range(300)]
    assert 25 < versions.count(2) < 105


def test_a_model_server_that_is_gone_is_answered_with_503_that_names_the_version(front, ask):
    _, port, routes = front
    with socket.create_server(("127.0.0.1", 0)) as probe:
        nobody = probe.getsockname()[1]
    routes([{"version": 4, "port": nobody, "percent": 100}])
    answer = ask(port, "GET", "/")
    assert answer.status == 503
    assert "version 4 does not answer" in answer.content["error"]


def test_kserves_own_load_and_unload_are_not_reachable(front, backends, ask):
    _, port, routes = front
    routes(all_to(backends[0]))
    assert ask(port, "POST", "/v2/repository/models/flights/unload").status == 403
    assert backends[0].seen == []


def test_a_body_beyond_the_limit_is_answered_with_413(front, backends, ask):
    _, port, routes = front
    routes(all_to(backends[0]))
    answer = ask(port, "POST", "/", b"x" * ((64 << 20) + 1))
    assert answer.status == 413
    assert "64 MiB" in answer.content["error"]


def test_only_the_owner_of_the_token_changes_routes(front, backends):
    _, _, routes = front
    assert routes(all_to(backends[0]), token="guess")[0] == 401
    assert routes()[1]["routes"] == []


@pytest.mark.parametrize(
    "table", [[{"version": 1}], {"version": 1}, [{"version": 1, "port": 5, "percent": 50}], [7], "all"]
)
def test_a_wrong_table_changes_nothing(front, backends, table):
    _, _, routes = front
    routes(all_to(backends[0]))
    assert routes(table)[0] == 400
    assert routes()[1]["routes"][0]["version"] == 1


def test_sigterm_lets_the_request_in_flight_finish(front, backends, ask, until):
    process, port, routes = front
    routes(all_to(backends[0]))
    process.stdin.write(b"keep\n")
    process.stdin.flush()
    backends[0].may_answer.clear()
    answers = []
    thread = threading.Thread(target=lambda: answers.append(ask(port, "GET", "/slow").status))
    thread.start()
    until(lambda: routes()[1]["in_flight"])
    process.terminate()
    until(lambda: not is_listening(port))
    backends[0].may_answer.set()
    assert process.wait() == 0
    thread.join()
    assert answers == [200]


def test_a_front_on_probation_ends_with_its_caller_and_a_kept_one_stays(launch, until, ask, tmp_path):
    for word, stays in ((b"", False), (b"keep\n", True)):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        report = tmp_path / f"{stays}.json"
        process = launch("front", "--name", "x", "--port", str(port), "--report", str(report))
        until(report.exists)
        process.stdin.write(word)
        process.stdin.close()
        if stays:
            assert [ask(port, "GET", "/").status for _ in range(20)] == [503] * 20
            assert process.poll() is None
            process.terminate()
        assert process.wait() == 0


def test_a_port_in_use_is_said_in_one_line(launch, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        process = launch("front", "--name", "x", "--port", str(port), "--report", str(tmp_path / "r.json"))
        assert process.wait() == 1
    said = process.stderr.read().decode()
    assert said.startswith(f"mainspring: error: port {port} ")
    assert said.count("\n") == 1


def shared(backends, percent: float) -> list[dict[str, object]]:
    champion, canary = backends
    return [
        {"version": champion.version, "port": champion.port, "percent": 100 - percent},
        {"version": canary.version, "port": canary.port, "percent": percent},
    ]


def test_a_dark_version_gets_no_request_and_what_others_get_is_counted(front, backends, ask):
    _, port, routes = front
    routes(shared(backends, 0))
    for _ in range(30):
        assert ask(port, "GET", "/teapot").content == {"version": 1}
    assert backends[1].seen == []
    observed = routes()[1]["observed"]
    assert list(observed) == [str(backends[0].port)]
    seen = observed[str(backends[0].port)]
    assert (seen["requests"], seen["errors"], sum(seen["buckets"].values())) == (30, 0, 30), "418 is the client's"
    assert all(0 < float(bound) <= 150 for bound in seen["buckets"])


def test_the_requests_of_a_canary_that_is_gone_go_to_the_champion_and_count_as_its_errors(front, backends, ask):
    _, port, routes = front
    with socket.create_server(("127.0.0.1", 0)) as probe:
        gone = probe.getsockname()[1]
    table = shared(backends, 50)
    table[1]["port"] = gone
    routes(table)
    assert {ask(port, "GET", "/").status for _ in range(60)} == {200}
    observed = routes()[1]["observed"]
    assert observed[str(backends[0].port)]["requests"] == 60
    assert observed[str(gone)]["requests"] == observed[str(gone)]["errors"] > 5
    routes(all_to(backends[0]))
    assert str(gone) not in routes()[1]["observed"], "what has left the table is forgotten"
