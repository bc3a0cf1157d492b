"""Tells people how a run ended: a webhook, Slack, or e-mail. Meant for an exit handler."""

from __future__ import annotations

import email.message
import json
import os
import smtplib
import time
import urllib.error
import urllib.parse
import urllib.request

from mainspring.components.common.errors import UserError
from mainspring.components.deployment import remembered

SLACK_VARIABLE = "MAINSPRING_SLACK_URL"
"""Slack's incoming webhook: whoever has it can post, so it comes from a secret and not from a parameter."""

WEBHOOK_TOKEN_VARIABLE = "MAINSPRING_WEBHOOK_TOKEN"
"""Sent to a webhook as `Authorization: Bearer …`, if set."""

SMTP_VARIABLE = "MAINSPRING_SMTP_URL"
"""`smtp://host:25`, `smtp+starttls://user:password@host:587` or `smtps://user:password@host:465`."""

ALWAYS, FAILURE = "always", "failure"
SUCCEEDED = "SUCCEEDED"
REFUSED = "REFUSED"
"""Succeeded as told, with nothing deployed."""
ATTEMPTS = 4
CALL_SECONDS = 20.0
IN_PASSING = (408, 429, 500, 502, 503, 504)


def notify(
    to: list[str],
    state: str,
    run: str = "",
    error: str = "",
    title: str = "",
    when: str = FAILURE,
    memory: str = "",
    pause_seconds: float = 1.0,
) -> None:
    """Sends word of how a run ended to each address; one that fails does not keep it from the others.

    Args:
        to: Addresses: `https://…` (a webhook, which gets JSON), `slack:` or `mailto:person@example.com`.
        state: `SUCCEEDED`, `FAILED` or `CANCELLED`.
        run: The run's resource name.
        error: What it says about its failure, or about what it refused.
        title: Of the pipeline or the model, for the first line.
        when: `failure` (anything but `SUCCEEDED`, and a refusal) or `always`.
        memory: Folder or bucket that remembers what was told: of the same trouble in several runs people are told
            once, then once that it is still there, and once that it is over. Empty: they are told each time.
        pause_seconds: Before the first repetition; it doubles each time.

    Raises:
        UserError: An address is malformed (said before anything is sent), or could not be reached.
    """
    if when not in (ALWAYS, FAILURE):
        raise UserError(f"when {when!r}: must be {ALWAYS!r} or {FAILURE!r}")
    if not to:
        raise UserError("to: names nobody; give https://…, slack: or mailto:person@example.com")
    for address in to:
        _check(address)
    state = REFUSED if state == SUCCEEDED and error else state
    since = remembered.judge(memory, title, "" if state == SUCCEEDED else error or state)
    if since.is_silent:
        print(f"{since.words}: people know", flush=True)
        return
    if when == FAILURE and state == SUCCEEDED and not since.words:
        print("the run succeeded: nobody is told", flush=True)
        return
    state = f"{state} ({since.words})" if since.words else state
    line = f"{title or 'Mainspring'}: {state}{f': {error}' if error else ''}{f' ({run})' if run else ''}"
    content = {"title": title, "state": state, "run": run, "error": error, "text": line}
    failed = []
    for address in to:
        try:
            _send(address, line, content, pause_seconds)
            print(f"told {_shown(address)}", flush=True)
        except UserError as trouble:
            failed.append(str(trouble))
    if len(failed) < len(to):
        since.remember()
    if failed:
        raise UserError("; ".join(failed))


def _check(address: str) -> None:
    scheme, _, rest = address.partition(":")
    if scheme == "slack" and not rest:
        _variable(SLACK_VARIABLE, address)
    elif scheme == "mailto" and "@" in rest and not any(letter.isspace() for letter in rest):
        _variable(SMTP_VARIABLE, address)
    elif scheme not in ("http", "https") or not urllib.parse.urlsplit(address).hostname:
        raise UserError(f"to: {address!r}: expected https://…, slack: or mailto:person@example.com")


def _variable(name: str, address: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise UserError(f"to: {address}: needs ${name}; mount the secret that holds it as an environment variable")
    return value


def _send(address: str, line: str, content: dict[str, str], pause: float) -> None:
    if address.startswith("mailto:"):
        _mail(address.removeprefix("mailto:"), line, content)
        return
    if address == "slack:":
        _post(_variable(SLACK_VARIABLE, address), "slack:", {"text": line}, {}, pause)
        return
    token = os.environ.get(WEBHOOK_TOKEN_VARIABLE, "")
    _post(address, _shown(address), content, {"Authorization": f"Bearer {token}"} if token else {}, pause)


def _post(url: str, shown: str, content: dict[str, str], headers: dict[str, str], pause: float) -> None:
    """Posts JSON; what fails in passing is repeated. The URL itself may be a secret and is never printed."""
    said = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        request = urllib.request.Request(
            url, json.dumps(content).encode(), {"Content-Type": "application/json", **headers}, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=CALL_SECONDS):
                return
        except urllib.error.HTTPError as error:
            said = f"{error.code} {error.reason}"
            if error.code not in IN_PASSING:
                break
        except (OSError, ValueError) as error:
            said = str(getattr(error, "reason", error))
    raise UserError(f"{shown}: could not be told: {said}")


def _mail(person: str, line: str, content: dict[str, str]) -> None:
    parts = urllib.parse.urlsplit(_variable(SMTP_VARIABLE, person))
    message = email.message.EmailMessage()
    message["Subject"] = " ".join(line.split())[:200]
    sender = urllib.parse.unquote(parts.username or "")
    message["From"] = sender if "@" in sender else "mainspring@localhost"
    message["To"] = person
    message.set_content("\n".join(f"{key}: {value}" for key, value in content.items() if value and key != "text"))
    kind = smtplib.SMTP_SSL if parts.scheme == "smtps" else smtplib.SMTP
    try:
        with kind(parts.hostname or "localhost", parts.port or 0, timeout=CALL_SECONDS) as server:
            if parts.scheme == "smtp+starttls":
                server.starttls()
            if parts.username:
                server.login(urllib.parse.unquote(parts.username), urllib.parse.unquote(parts.password or ""))
            server.send_message(message)
    except (OSError, smtplib.SMTPException) as error:
        raise UserError(f"mailto:{person}: could not be told: {error}") from error


def _shown(address: str) -> str:
    """Returns an address without what may be secret in it."""
    parts = urllib.parse.urlsplit(address)
    return address if parts.scheme == "mailto" or not parts.hostname else f"{parts.scheme}://{parts.hostname}/…"
