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
"""The same record again, as loggers send what was not confirmed: the first counts."""
REUSED_ID = "ids used more than once"
"""The same id and type again with another body: which answer is whose cannot be told, so none is taken."""
ORPHAN = "responses without a request"
MALFORMED_REQUEST = "malformed requests"
MALFORMED_RESPONSE = "malformed responses"
NO_OBJECT = "rows that are no objects"
UNUSABLE = "predictions that are null, absent or no number"
UNKNOWN_FEATURE = "rows with unknown features"
MISTYPED = "values of the wrong type"

SET_ASIDE = (TRUNCATED, FOREIGN, TOO_LARGE)
"""Records that are neither a request nor a response: they are counted here and nowhere else."""

OF_FILES, OF_REQUESTS = (UNREADABLE_FILE,), (REUSED_ID,)
OF_ROWS, OF_PREDICTIONS = (NO_OBJECT, UNKNOWN_FEATURE, MISTYPED), (UNUSABLE,)
"""What a fault's share is of; all others are of the records."""

SAMPLES = 3
"""Of each fault, so many examples are kept."""

SAMPLE_LENGTH = 160


class Faults:
    """Counts by kind, with a few examples of each."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.samples: dict[str, list[str]] = {}
        self.records = 0
        """All records that were met, whatever they were."""
        self.files = 0
        self.namespaces: Counter[str] = Counter()
        """Records of the service by the namespace that they name."""
        self.by_feature: Counter[str] = Counter()
        """Values of the wrong type, by feature."""

    def add(self, kind: str, sample: str, count: int = 1) -> None:
        """Counts a fault; the sample is kept if it is one of the first, without control characters."""
        self.counts[kind] += count
        kept = self.samples.setdefault(kind, [])
        if len(kept) < SAMPLES:
            text = "".join(letter if letter.isprintable() else "�" for letter in sample[: SAMPLE_LENGTH + 1])
            kept.append(text if len(text) <= SAMPLE_LENGTH else f"{text[: SAMPLE_LENGTH - 1]}…")
