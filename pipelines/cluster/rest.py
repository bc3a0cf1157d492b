"""HTTP as a cluster's API needs it: bounded in time, patient where that is safe, one line for what goes wrong.

KFP's own client is not used for this: it waits half a minute for a server that is down, follows a redirect to a login
page and then fails on its HTML, drops settings on the way (`enable_caching`), and prints what it was answered in full.
What it sends is what is sent here; a test holds the two together.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import requests

from mainspring.components.common.errors import UserError
from mainspring.pipelines.cluster.logins import Login

CONNECT_SECONDS = 5.0
READ_SECONDS = 60.0
ATTEMPTS = 4
FIRST_PAUSE = 0.5
"""Seconds before the second attempt; doubled before each further one."""
LONGEST_PAUSE = 10.0
BUSY = (429, 502, 503, 504)
PAGE_SIZE = 100
LONGEST_MESSAGE = 300

Json = dict[str, Any]


class Unreachable(UserError):
    """The server did not answer, or not now: asking again later may help."""


class Missing(UserError):
    """The server knows no such thing (404)."""


class Conflict(UserError):
    """There is one already (409)."""


class Api:
    """One server's REST API."""

    def __init__(self, url: str, login: Login, *, verify: bool | str = True, seconds: float = READ_SECONDS) -> None:
        """Connects to nothing yet.

        Args:
            url: Of the server, without `/apis/…`.
            login: How requests say who asks.
            verify: Whether the server's certificate is checked; a path: against these authorities.
            seconds: How long an answer may take.
        """
        self.url = url.rstrip("/")
        self._login = login
        self._timeouts = (min(CONNECT_SECONDS, seconds), seconds)
        self._session = requests.Session()
        self._session.verify = verify
        self._session.auth = lambda request: request  # Else requests lets ~/.netrc take the place of our header.

    def get(self, path: str, **query: Any) -> Json:
        """Returns what is at `path`."""
        return self._json(self._ask("GET", path, query, is_repeatable=True), path)

    def post(self, path: str, body: Json | None = None, *, is_repeatable: bool = False) -> Json:
        """Sends `body` to `path` and returns the answer.

        Args:
            path: Below the server's URL.
            body: Sent as JSON.
            is_repeatable: Whether sending it twice does what sending it once does; otherwise it is sent again only
                where the server said that it did nothing.
        """
        return self._json(self._ask("POST", path, {}, is_repeatable=is_repeatable, json=body), path)

    def upload(self, path: str, file_name: str, content: str, /, **query: Any) -> Json:
        """Sends a file, as a form, and returns the answer."""
        files = {"uploadfile": (file_name, content.encode(), "application/octet-stream")}
        return self._json(self._ask("POST", path, query, is_repeatable=False, files=files), path)

    def delete(self, path: str, **query: Any) -> None:
        """Deletes what is at `path`; that there is nothing is as good."""
        with contextlib.suppress(Missing):
            self._ask("DELETE", path, query, is_repeatable=True)

    def text(self, path: str, **query: Any) -> str:
        """Returns what is at `path`, as text."""
        return self._ask("GET", path, query, is_repeatable=True).text

    def pages(self, path: str, field: str, **query: Any) -> Iterator[Json]:
        """Yields the items of all pages of a list."""
        token = ""
        while True:
            answer = self.get(path, page_size=PAGE_SIZE, **query, **({"page_token": token} if token else {}))
            yield from answer.get(field) or []
            token = str(answer.get("next_page_token") or answer.get("nextPageToken") or "")
            if not token:
                return

    def _ask(self, method: str, path: str, query: Json, *, is_repeatable: bool, **content: Any) -> requests.Response:
        """Sends a request, again where that is safe and may help; returns the answer if it is no refusal."""
        pause, is_renewed = FIRST_PAUSE, False
        for attempt in range(1, ATTEMPTS + 1):
            is_last = attempt == ATTEMPTS
            try:
                answer = self._send(method, path, query, content)
            except requests.exceptions.RequestException as error:
                if is_last or not _may_be_sent_again(error, is_repeatable):
                    raise self._trouble(error, f"{method} /{path}", is_repeatable) from error
            else:
                if answer.status_code == 401 and not is_renewed and self._login.renew():
                    is_renewed = True
                    continue
                if is_last or answer.status_code not in (BUSY if is_repeatable else (429,)):
                    _check(self.url, method, path, answer, self._login)
                    return answer
                pause = _asked_pause(answer) or pause
            time.sleep(min(pause, LONGEST_PAUSE))
            pause *= 2
        raise AssertionError("the last attempt returns or raises")

    def _send(self, method: str, path: str, query: Json, content: Json) -> requests.Response:
        return self._session.request(
            method,
            f"{self.url}/{path}",
            params={key: value for key, value in query.items() if value is not None},
            headers=self._login.headers(),
            timeout=self._timeouts,
            allow_redirects=False,
            **content,
        )

    def _trouble(self, error: requests.exceptions.RequestException, asked: str, is_repeatable: bool) -> UserError:
        """Returns the line that says why there is no answer."""
        kinds = requests.exceptions
        doubt = "" if is_repeatable or _was_not_sent(error) else "; whether it was done is not known: look first"
        if isinstance(error, kinds.SSLError):
            return UserError(
                f"{self.url}: its certificate is not trusted here ({_cause(error)}); "
                "give the authority's file as ca_file (--ca-file)"
            )
        if isinstance(error, kinds.InvalidURL | kinds.InvalidSchema):
            return UserError(f"{self.url}: is no URL of a server; give it as https://host[/path]")
        if isinstance(error, kinds.ReadTimeout):
            return Unreachable(
                f"{self.url}: no answer to {asked} within {self._timeouts[1]:g} s{doubt}; try again later"
            )
        return Unreachable(
            f"{self.url}: cannot be reached ({_cause(error)}){doubt}; "
            "is the address right, and the server (or the port-forward) up?"
        )

    def _json(self, answer: requests.Response, path: str) -> Json:
        if not answer.content.strip():
            return {}
        try:
            content = answer.json()
        except ValueError as error:
            raise UserError(f"{self.url}: answers /{path} with {_kind(answer)}{_not_an_api(answer)}") from error
        if not isinstance(content, dict):
            raise UserError(f"{self.url}: answers /{path} with {type(content).__name__}, not with an object")
        return content


def _check(url: str, method: str, path: str, answer: requests.Response, login: Login) -> None:
    status = answer.status_code
    if 200 <= status < 300:
        return
    said = message_of(answer)
    asked = f"{method} /{path}"
    if status in (301, 302, 303, 307, 308):
        place = urlsplit(answer.headers.get("location", "")).path or "another page"
        raise UserError(f"{url}: sends {asked} to {place}: it wants a login, and {login.description}; {login.advice}")
    if status == 401:
        raise UserError(f"{url}: does not know who asks (401{said}), and {login.description}; {login.advice}")
    if status == 403:
        raise UserError(
            f"{url}: does not allow {asked} (403{said}); ask for the rights in this namespace, or give another"
        )
    if status == 404:
        raise Missing(f"{url}: has no /{path} (404{said})")
    if status == 409:
        raise Conflict(f"{url}: refuses {asked}: there is one already (409{said})")
    if status == 429:
        raise Unreachable(f"{url}: has too much to do (429{said}); nothing was done by {asked}; try again later")
    if status >= 500:
        raise Unreachable(
            f"{url}: fails at {asked} ({status}{said}); it is safe to try again; if it stays, see its log"
        )
    raise UserError(f"{url}: refuses {asked} ({status}{said})")


def message_of(answer: requests.Response) -> str:
    """Returns what the server said in words, as `: …`; empty if it said nothing readable."""
    try:
        content = json.loads(answer.text)
    except ValueError:
        content = {}
    said = ""
    if isinstance(content, dict):
        said = next((content[key] for key in ("message", "error_message", "error") if content.get(key)), "")
    text = " ".join(str(said).split())
    return f": {text[:LONGEST_MESSAGE]}{'…' if len(text) > LONGEST_MESSAGE else ''}" if text else ""


def _asked_pause(answer: requests.Response) -> float:
    try:
        return max(float(answer.headers.get("retry-after", "")), 0.0)
    except ValueError:
        return 0.0


def _was_not_sent(error: requests.exceptions.RequestException) -> bool:
    """Whether nobody took the connection: then the server has done nothing."""
    return isinstance(error, requests.exceptions.ConnectTimeout) or "NewConnectionError" in repr(error)


def _may_be_sent_again(error: requests.exceptions.RequestException, is_repeatable: bool) -> bool:
    """Whether asking again is safe, and may help: a wrong certificate stays wrong, and a minute's wait is enough."""
    kinds = requests.exceptions
    if isinstance(error, kinds.SSLError | kinds.InvalidURL | kinds.InvalidSchema | kinds.ReadTimeout):
        return False
    return is_repeatable or _was_not_sent(error)


def _cause(error: Exception) -> str:
    text = str(error)
    if why := re.search(r"certificate verify failed: ([^(\]]+)", text):
        return f"certificate verify failed: {why[1].strip()}"
    for words in (
        "Connection refused",
        "Name or service not known",
        "Connection reset",
        "timed out",
        "certificate verify failed",
    ):
        if words in text:
            return words.lower()
    return " ".join(text.split())[:LONGEST_MESSAGE]


def _kind(answer: requests.Response) -> str:
    return answer.headers.get("content-type", "something").partition(";")[0]


def _not_an_api(answer: requests.Response) -> str:
    if _kind(answer) == "text/html":
        return ": a page for people, perhaps a login; check the address (on Kubeflow it often ends in /pipeline)"
    return ", which is no JSON; is this a Kubeflow Pipelines server?"
