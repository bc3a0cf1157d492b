"""What a logged body can be instead of a payload."""

from __future__ import annotations


class Malformed(Exception):
    """A payload that is not of the protocols' form; the message says how."""


class NotBase64(Malformed):
    """A body that is no base64."""


class ErrorAnswer(Malformed):
    """An answer that is an error's; the message is what it says."""
