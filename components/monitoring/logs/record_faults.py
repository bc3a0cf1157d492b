"""What can be wrong with a logged record: each is counted, none ends the reading."""

from __future__ import annotations

from collections import Counter

UNREADABLE_FILE = "unreadable files"
"""Not Parquet, CSV or JSON of KServe's records, or damaged; what stands before the damage is read."""
TRUNCATED = "damaged records"
"""Records that are no whole JSON object or CSV row."""
FOREIGN = "foreign records"
"""Records without id or type, of neither a request nor a response, or of another service."""
TOO_LARGE = "oversized records"
NOT_BASE64 = "records that are not base64"
DUPLICATE = "duplicated records"
"""The same id and type again: the first counts."""
ORPHAN = "responses without a request"
MALFORMED_REQUEST = "malformed requests"
MALFORMED_RESPONSE = "malformed responses"
UNKNOWN_FEATURE = "values of unknown features"
MISTYPED = "values of the wrong type"

ALL = (
    UNREADABLE_FILE,
    TRUNCATED,
    FOREIGN,
    TOO_LARGE,
    NOT_BASE64,
    DUPLICATE,
    ORPHAN,
    MALFORMED_REQUEST,
    MALFORMED_RESPONSE,
    UNKNOWN_FEATURE,
    MISTYPED,
)

SAMPLES = 3
"""Of each fault, so many examples are kept."""

SAMPLE_LENGTH = 160


class Faults:
    """Counts by kind, with a few examples of each."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.samples: dict[str, list[str]] = {}

    def add(self, kind: str, sample: str, count: int = 1) -> None:
        """Counts a fault; the sample is kept if it is one of the first, without control characters."""
        self.counts[kind] += count
        kept = self.samples.setdefault(kind, [])
        if len(kept) < SAMPLES:
            text = "".join(letter if letter.isprintable() else "�" for letter in sample[: SAMPLE_LENGTH + 1])
            kept.append(text if len(text) <= SAMPLE_LENGTH else f"{text[: SAMPLE_LENGTH - 1]}…")
