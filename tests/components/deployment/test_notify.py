from __future__ import annotations

import http.server
import json
import socketserver
import threading
from contextlib import contextmanager

import pytest

from mainspring.components.common.errors import UserError
from mainspring.components.deployment.notify import notify


@contextmanager
def serving(server):
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def webhook():
    """A webhook, what it got, and the statuses it gives before 200."""
    got, statuses = [], []

    class Webhook(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status = statuses.pop(0) if statuses else 200
            if status == 200:
                got.append((self.headers.get("Authorization"), content))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Webhook)) as port:
        yield f"http://127.0.0.1:{port}/secret", got, statuses


@pytest.fixture
def mailbox(monkeypatch):
    """What an SMTP server on loopback got."""
    got = []

    class Smtp(socketserver.StreamRequestHandler):
        def handle(self):
            self.wfile.write(b"220 ready\r\n")
            while line := self.rfile.readline():
                word = line.strip().upper()
                if word.startswith(b"DATA"):
                    self.wfile.write(b"354 go on\r\n")
                    text = b""
                    while (part := self.rfile.readline()) != b".\r\n":
                        text += part
                    got.append(text.decode())
                elif word.startswith(b"QUIT"):
                    self.wfile.write(b"221 bye\r\n")
                    return
                self.wfile.write(b"250 ok\r\n")

    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Smtp)) as port:
        monkeypatch.setenv("MAINSPRING_SMTP_URL", f"smtp://127.0.0.1:{port}")
        yield got


def test_everybody_is_told_of_a_failure(webhook, mailbox, monkeypatch):
    url, got, _ = webhook
    monkeypatch.setenv("MAINSPRING_SLACK_URL", url)
    monkeypatch.setenv("MAINSPRING_WEBHOOK_TOKEN", "t")
    notify([url, "slack:", "mailto:ann@example.com"], "FAILED", "runs/1", "no data", "flights")
    line = "flights: FAILED: no data (runs/1)"
    content = {"title": "flights", "state": "FAILED", "run": "runs/1", "error": "no data", "text": line}
    assert got == [("Bearer t", content), (None, {"text": line})]
    assert f"Subject: {line}" in mailbox[0]
    assert "To: ann@example.com" in mailbox[0]


def test_nobody_is_told_of_a_success_unless_asked_for(webhook):
    url, got, _ = webhook
    notify([url], "SUCCEEDED")
    assert got == []
    notify([url], "SUCCEEDED", when="always")
    assert len(got) == 1


def test_what_fails_in_passing_is_repeated(webhook):
    url, got, statuses = webhook
    statuses += [500, 429]
    notify([url], "FAILED", pause_seconds=0.01)
    assert len(got) == 1


def test_one_address_that_refuses_does_not_keep_word_from_the_others_and_is_named_without_its_secret(webhook, mailbox):
    url, _, statuses = webhook
    statuses += [403]
    with pytest.raises(UserError, match=r"http://127.0.0.1/…: could not be told: 403") as caught:
        notify([url, "mailto:ann@example.com"], "FAILED", pause_seconds=0.01)
    assert "secret" not in str(caught.value)
    assert len(mailbox) == 1


@pytest.mark.parametrize(
    ("to", "says"),
    [
        ([], "names nobody"),
        (["ftp://x"], "expected https://"),
        (["mailto:nobody"], "expected https://"),
        (["slack:"], "needs \\$MAINSPRING_SLACK_URL"),
        (["mailto:a@b"], "needs \\$MAINSPRING_SMTP_URL"),
    ],
)
def test_an_address_that_cannot_be_is_refused_before_anything_is_sent(webhook, to, says):
    url, got, _ = webhook
    with pytest.raises(UserError, match=says):
        notify([url, *to] if to else [], "FAILED")
    assert got == []


def test_the_same_trouble_is_told_once_then_that_it_lasts_and_then_that_it_is_over(webhook, tmp_path):
    url, got, statuses = webhook

    def night(state, error=""):
        notify([url], state, "run", error, "flights", memory=str(tmp_path), pause_seconds=0.01)

    statuses += [403]
    with pytest.raises(UserError):
        night("FAILED", "carrier: 3 rows are unknown")
    for rows in (3, 12, 7, 1001):
        night("FAILED", f"carrier: {rows} rows are unknown")
    night("FAILED", "no file")
    night("SUCCEEDED", "the data was refused: no file")
    night("SUCCEEDED")
    night("SUCCEEDED")
    states = [content["state"] for _, content in got]
    assert states[0] == "FAILED", "what nobody was told of is news again"
    assert states[1].startswith("FAILED (still, since 20")
    assert states[1].endswith(", 2 runs)")
    assert states[2:] == ["FAILED", "REFUSED", "SUCCEEDED (well again after 1 run)"]
