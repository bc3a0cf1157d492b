"""One logged request or response, in the words of KServe's payload logger (pkg/logger, 0.20) and of its JSON files."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlsplit

REQUEST = "org.kubeflow.serving.inference.request"
RESPONSE = "org.kubeflow.serving.inference.response"
"""The values of `reqType`. A response is logged only if its status is 200."""

VERSION_ANNOTATION = "mainspring.dev/version"
"""Annotation with the published version that answered, where the logger knows it."""

JSON, CSV = "json", "csv"
"""Forms of a file of records, and the ends of its name; KServe's third, Parquet, is not written here."""

CSV_FIELDS = (
    *("url", "bytes", "contentType", "reqType", "id", "sourceUri", "inferenceService", "namespace"),
    *("component", "endpoint", "metadata", "annotations", "certName", "tlsSkipVerify"),
)
"""The header of KServe's CSV marshaller; its records do not say when they were made."""

_FIT_FOR_A_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class PayloadRecord:
    """A request or a response as it went over the wire."""

    body: bytes
    req_type: str
    """`REQUEST` or `RESPONSE`."""
    id: str
    """The same for a request and its response."""
    occurred: float
    """Seconds since the epoch."""
    url: str = ""
    """Where the logger sends its records."""
    source_uri: str = ""
    content_type: str = ""
    """The request's, for its response as well."""
    inference_service: str = ""
    namespace: str = ""
    component: str = ""
    endpoint: str = ""
    metadata: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The request's headers that were asked for."""
    annotations: Mapping[str, str] = field(default_factory=dict)


def as_json(record: PayloadRecord) -> str:
    """Returns a record as KServe's JSON marshaller writes it: a Go struct, without what is empty."""
    instant = datetime.fromtimestamp(record.occurred, timezone.utc).isoformat(timespec="microseconds")
    content: dict[str, Any] = {
        "url": _go_url(record.url),
        "bytes": base64.b64encode(record.body).decode("ascii"),
        "contentType": record.content_type,
        "reqType": record.req_type,
        "id": record.id,
        "sourceUri": _go_url(record.source_uri),
        "inferenceService": record.inference_service,
        "namespace": record.namespace,
        "component": record.component,
        "endpoint": record.endpoint,
        "metadata": dict(record.metadata),
        "annotations": dict(record.annotations),
        "occurrenceTime": instant.replace("+00:00", "Z"),
    }
    return json.dumps({key: value for key, value in content.items() if value or key == "bytes"})


def as_file(records: Sequence[PayloadRecord], form: str) -> bytes:
    """Returns a batch as KServe's marshaller of a form (`JSON` or `CSV`) writes it."""
    if form == CSV:
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(CSV_FIELDS)
        writer.writerows(map(_csv_row, records))
        return text.getvalue().encode(errors="replace")
    texts = [as_json(record) for record in records]
    # A lone record is an object, several are an array.
    return (texts[0] if len(texts) == 1 else f"[{','.join(texts)}]").encode()


def file_name(first: PayloadRecord, extension: str) -> str:
    """Returns where KServe puts a batch, relative to the sink: its first record names it.

    Ids come from clients: one that is no plain name is replaced.
    """
    places = [part for part in (first.namespace, first.inference_service, first.component) if part]
    kind = first.req_type.rpartition(".")[2]
    parts = [_plain(part) for part in (*places, f"{_plain(first.id)}-{kind}")]
    return "/".join(parts) + f".{extension}"


def _csv_row(record: PayloadRecord) -> list[str]:
    known = {
        "url": record.url,
        "bytes": base64.b64encode(record.body).decode("ascii"),
        "contentType": record.content_type,
        "reqType": record.req_type,
        "id": record.id,
        "sourceUri": record.source_uri,
        "inferenceService": record.inference_service,
        "namespace": record.namespace,
        "component": record.component,
        "endpoint": record.endpoint,
        "metadata": json.dumps(dict(record.metadata)),
        "annotations": json.dumps(dict(record.annotations)),
        "tlsSkipVerify": "false",
    }
    return [known.get(name, "") for name in CSV_FIELDS]


def _plain(text: str) -> str:
    return text if _FIT_FOR_A_NAME.fullmatch(text) else uuid.uuid5(uuid.NAMESPACE_URL, repr(text)).hex


def _go_url(url: str) -> dict[str, Any] | None:
    """Returns what Go's encoding/json makes of a `url.URL`."""
    if not url:
        return None
    parts = urlsplit(url)
    return {
        "Scheme": parts.scheme,
        "Opaque": "",
        "User": None,
        "Host": parts.netloc,
        "Path": parts.path,
        "RawPath": "",
        "OmitHost": False,
        "ForceQuery": False,
        "RawQuery": parts.query,
        "Fragment": parts.fragment,
        "RawFragment": "",
    }
