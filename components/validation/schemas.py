"""Where the schema comes from: given, taken over from the baseline, or inferred and calibrated on the window."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from google.protobuf import text_format
from tensorflow_data_validation.api.validation_api import infer_schema
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

from mainspring.components.common.buckets import local_copy
from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import SCHEMA_FILE
from mainspring.components.statistics import drift
from mainspring.components.statistics.drift import SERVING
from mainspring.components.statistics.span_statistics import by_name, missing_share, value_counts
from mainspring.components.validation import growing

TRAINING = "TRAINING"

UNSEEN_MARGIN = 5.0
"""An open vocabulary may bring this many times the share of unknown values that a span of the training window brought.
January to June bring one new destination (0.06 % of June's rows); the later months of 2013 bring up to 0.11 %."""

LARGE_VOCABULARY = 33
"""From this many values on a vocabulary counts as open (destinations, shops), unless spans show that it stays the same;
a smaller one (carriers, airports of origin) counts as closed, unless spans show that its values come and go."""

LARGE_VOCABULARY_TOLERANCE = 0.05
"""The share of unknown values that an open, large vocabulary may always bring. Destinations that a single month or
three do not have make up to 0.9 % of a later month's flights, and a new shop or product starts with more."""

MISSING_MARGIN = 2.0
"""A column that had missing values may miss this many times the largest share that a span of the window missed."""

MISSING_FLOOR = 0.05
"""The share of missing values that is always allowed where some were missing before."""


@dataclass(frozen=True)
class UsedSchema:
    """The schema of a validation."""

    proto: schema_pb2.Schema
    source: str
    """`given`, `baseline` or `inferred`."""
    text: str
    """What is published as `schema.pbtxt`: if not inferred, byte for byte what was read, so that it never widens."""

    @functools.cached_property
    def features(self) -> dict[str, schema_pb2.Feature]:
        """The features by name."""
        return {feature.name: feature for feature in self.proto.feature}

    @property
    def fingerprint(self) -> str:
        """`sha256:<hex>` of the text."""
        return f"sha256:{hashlib.sha256(self.text.encode()).hexdigest()}"

    @property
    def environment(self) -> str | None:
        """`TRAINING` if the schema knows environments; TFDV would otherwise find no feature in it."""
        named = set(self.proto.default_environment)
        for feature in self.proto.feature:
            named |= {*feature.in_environment, *feature.not_in_environment}
        return TRAINING if named else None

    def knows(self, column: str) -> bool:
        """Whether the schema has this feature."""
        return column in self.features


def load(uri: str, source: str) -> UsedSchema:
    """Reads a schema in TFDV's text format.

    Args:
        uri: The file, or a folder that holds `schema.pbtxt`.
        source: What `UsedSchema.source` is to say.

    Raises:
        UserError: There is no such file, or it holds no schema.
    """
    path = local_copy(uri)
    path = path / SCHEMA_FILE if path.is_dir() else path
    schema = schema_pb2.Schema()
    try:
        text = path.read_text(encoding="utf-8")
        text_format.Parse(text, schema)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; the {source} schema is expected there") from error
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise UserError(f"{path}: not a TFDV schema in text format: {error}") from error
    if not schema.feature:
        raise UserError(f"{path}: the schema has no features; give a schema.pbtxt that names the columns")
    return UsedSchema(schema, source, text)


def infer(
    train: DatasetFeatureStatisticsList,
    evaluation: DatasetFeatureStatisticsList,
    parts: Sequence[DatasetFeatureStatisticsList],
    label: str,
    several_spans: bool,
    left_out: Mapping[str, str] | None = None,
    judge: Collection[str] = (),
) -> UsedSchema:
    """Infers a schema from train and makes it hold for the next span as well.

    TFDV infers types, presence, shapes and domains. What differs between the window's own spans is then allowed to
    differ again, with a margin: missing values, values that come and go, distributions.

    Args:
        train: Statistics of all rows of train; not empty.
        evaluation: Statistics of eval: what differs between the splits of the same data is natural too.
        parts: Statistics of train's spans, oldest first, or of pieces of the only one.
        label: The label's column: required in training, absent in serving.
        several_spans: Whether `parts` are spans.
        left_out: Why columns that grow by nature are left out of drift, as `growing.at_first` returns it.
        judge: Columns whose drift is judged all the same, because the policy says so.
    """
    grows = {name: why for name, why in (left_out or {}).items() if name not in judge}
    schema = infer_schema(train)
    _forget_domains_of_constants(schema, train)
    for feature in schema.feature:
        if grows.get(feature.name) in (growing.DATE, growing.ID) and feature.domain:
            _forget_domain(schema, feature)
    _calibrate_presence(schema, [train, *parts, evaluation])
    _calibrate_domains(schema, parts, evaluation, several_spans)
    restless = drift.calibrate(schema, train, parts, grows)
    for feature in schema.feature:
        if feature.name in restless and feature.name in judge:
            drift.set_threshold(feature, drift.floor_of(feature))
    growing.mark(schema, grows | {name: growing.RESTLESS for name in restless if name not in judge})
    schema.default_environment.extend([TRAINING, SERVING])
    for feature in schema.feature:
        if feature.name == label:
            feature.not_in_environment.append(SERVING)
    return UsedSchema(schema, "inferred", text_format.MessageToString(schema, as_utf8=True))


def learnt_anew(used: UsedSchema, inferred: UsedSchema, accept: Collection[str]) -> UsedSchema:
    """Returns the schema with these columns as the examples have them; those that are gone are left out.

    Args:
        used: The schema that was given or taken over.
        inferred: From the examples.
        accept: The columns.
    """
    schema = schema_pb2.Schema()
    schema.CopyFrom(used.proto)
    anew = {name: feature for name, feature in inferred.features.items() if name in accept}
    kept = [anew.pop(one.name, None) or one for one in used.proto.feature if one.name not in accept or one.name in anew]
    features = [*kept, *anew.values()]
    of_anew = {one.domain for one in features if one.name in accept and one.domain}
    needed = {one.domain for one in features if one.domain and one.name not in accept}
    del schema.feature[:]
    schema.feature.extend(features)
    del schema.string_domain[:]
    schema.string_domain.extend(one for one in used.proto.string_domain if one.name in needed)
    for domain in inferred.proto.string_domain:
        if domain.name in of_anew:
            _add_domain(schema, domain, accept, taken=domain.name in needed)
    return UsedSchema(schema, used.source, text_format.MessageToString(schema, as_utf8=True))


def _add_domain(
    schema: schema_pb2.Schema, domain: schema_pb2.StringDomain, accept: Collection[str], *, taken: bool
) -> None:
    name = f"{domain.name} (accepted)" if taken else domain.name
    for feature in schema.feature:
        if feature.name in accept and feature.domain == domain.name:
            feature.domain = name
    schema.string_domain.add(name=name, value=domain.value)


def judging_drift(used: UsedSchema, leave_out: Mapping[str, str], judge: Collection[str]) -> UsedSchema:
    """Returns the schema that drift is judged by: what is published of it stays as it is.

    Args:
        used: The schema.
        leave_out: Columns whose drift and skew are not judged, and why.
        judge: Columns whose drift is judged although the schema leaves them out.
    """
    schema = schema_pb2.Schema()
    schema.CopyFrom(used.proto)
    for feature in schema.feature:
        if feature.name in leave_out:
            feature.ClearField("drift_comparator")
            feature.ClearField("skew_comparator")
        elif feature.name in judge and not feature.HasField("drift_comparator"):
            drift.set_threshold(feature, drift.floor_of(feature))
    return UsedSchema(schema, used.source, used.text)


def schema_file(folder: str) -> str:
    """Returns the URI of the schema in a published version."""
    return f"{folder.rstrip('/')}/{SCHEMA_FILE}"


def _forget_domains_of_constants(schema: schema_pb2.Schema, train: DatasetFeatureStatisticsList) -> None:
    """TFDV takes a column of ones for a truth value, and January's month is 1 in every row."""
    features = by_name(train)
    for feature in schema.feature:
        numbers = features[feature.name].num_stats
        if feature.HasField("bool_domain") and numbers.min == numbers.max:
            feature.ClearField("bool_domain")


def _calibrate_presence(schema: schema_pb2.Schema, groups: Sequence[DatasetFeatureStatisticsList]) -> None:
    named = [by_name(group) for group in groups]
    for feature in schema.feature:
        shares = [missing_share(features[feature.name]) for features in named if feature.name in features]
        allowed = max(MISSING_FLOOR, MISSING_MARGIN * max(shares))
        if max(shares) == 0 or feature.presence.min_count == 0:
            continue
        feature.presence.min_fraction = max(0.0, round(1 - allowed, 4))
        if feature.HasField("shape"):  # A fixed shape is for columns that are never missing.
            feature.ClearField("shape")
            feature.value_count.min = feature.value_count.max = 1


def _calibrate_domains(
    schema: schema_pb2.Schema,
    parts: Sequence[DatasetFeatureStatisticsList],
    evaluation: DatasetFeatureStatisticsList,
    several_spans: bool,
) -> None:
    sizes = {domain.name: len(domain.value) for domain in schema.string_domain}
    named, held_out = [by_name(part) for part in parts], by_name(evaluation)
    for feature in schema.feature:
        if not feature.domain:
            continue
        counts = [value_counts(part[feature.name]) for part in named if feature.name in part]
        between = _largest_unseen_share(counts)
        tolerance = UNSEEN_MARGIN * between if several_spans or UNSEEN_MARGIN * between >= 1 else 0.0
        if feature.name in held_out:
            known = set().union(*counts)
            tolerance = max(tolerance, UNSEEN_MARGIN * _share(value_counts(held_out[feature.name]), known))
        if sizes[feature.domain] >= LARGE_VOCABULARY and (between > 0 or not several_spans):
            tolerance = max(tolerance, LARGE_VOCABULARY_TOLERANCE)
        if tolerance >= 1:
            _forget_domain(schema, feature)
        elif tolerance > 0:
            feature.distribution_constraints.min_domain_mass = round(1 - tolerance, 6)


def _largest_unseen_share(counts: Sequence[dict[str, float]]) -> float:
    """Returns the largest share of a part's rows whose value no other part has."""
    if len(counts) < 2:
        return 0.0
    others = [set().union(*counts[:index], *counts[index + 1 :]) for index in range(len(counts))]
    return max(_share(part, known) for part, known in zip(counts, others, strict=True))


def _share(counts: dict[str, float], known: set[str]) -> float:
    return sum(rows for value, rows in counts.items() if value not in known) / max(1.0, sum(counts.values()))


def _forget_domain(schema: schema_pb2.Schema, feature: schema_pb2.Feature) -> None:
    kept = [domain for domain in schema.string_domain if domain.name != feature.domain]
    feature.ClearField("domain")
    del schema.string_domain[:]
    schema.string_domain.extend(kept)
