"""What a schema would have to change for given statistics, in words, one sentence a change."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from tensorflow_data_validation.api.validation_api import update_schema
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

from mainspring.components.validation import words

VALUES_NAMED = 10


@dataclass(frozen=True)
class Change:
    """One change."""

    feature: str
    sentence: str


def needed(schema: schema_pb2.Schema, statistics: DatasetFeatureStatisticsList) -> schema_pb2.Schema:
    """Returns the schema as TFDV would widen it so that the statistics pass; `schema` stays as it is."""
    return update_schema(schema, statistics)


def between(old: schema_pb2.Schema, new: schema_pb2.Schema) -> list[Change]:
    """Returns what differs, feature by feature, in the order of the new schema."""
    before = {feature.name: feature for feature in old.feature}
    after = {feature.name: feature for feature in new.feature}
    changes = [Change(name, "leave the column out") for name in before if name not in after]
    for name, feature in after.items():
        if name not in before:
            kind = words.TYPES.get(feature.type, "values")
            changes.append(Change(name, f"add the column, of {kind}"))
        else:
            changes += _of_feature(old, new, before[name], feature)
    return changes


def as_json(changes: list[Change]) -> list[dict[str, str]]:
    """Returns the changes as plain values."""
    return [dataclasses.asdict(change) for change in changes]


def _of_feature(
    old: schema_pb2.Schema, new: schema_pb2.Schema, before: schema_pb2.Feature, after: schema_pb2.Feature
) -> list[Change]:
    found = []
    if before.type != after.type:
        was, now = (words.TYPES.get(one.type, "other values") for one in (before, after))
        found.append(f"let it hold {now} instead of {was}")
    known, values = set(words.domain(old, before).value), list(words.domain(new, after).value)
    added = [value for value in values if value not in known]
    if added and known:
        named = ", ".join(f'"{value}"' for value in added[:VALUES_NAMED])
        more = f" and {words.count(len(added) - VALUES_NAMED, 'other')}" if len(added) > VALUES_NAMED else ""
        found.append(f"know the {'value' if len(added) == 1 else 'values'} {named}{more}")
    elif known and not values:
        found.append("allow any value")
    share = after.presence.min_fraction
    if before.presence.min_fraction != share or before.presence.min_count != after.presence.min_count:
        need = f"at least {words.percent(share)} of the rows" if share else f"{after.presence.min_count:,} rows"
        found.append("let it be missing" if not share and not after.presence.min_count else f"require it in {need}")
    if list(before.in_environment) != list(after.in_environment) or before.lifecycle_stage != after.lifecycle_stage:
        found.append(f"change its stage to {schema_pb2.LifecycleStage.Name(after.lifecycle_stage).lower()}")
    if not found and before != after:
        found.append(f"change {', '.join(_differing(before, after))}")
    return [Change(after.name, sentence) for sentence in found]


def _differing(before: schema_pb2.Feature, after: schema_pb2.Feature) -> list[str]:
    fields = {field.name: value for field, value in before.ListFields()}
    others = {field.name: value for field, value in after.ListFields()}
    return sorted(name for name in {*fields, *others} if fields.get(name) != others.get(name))
