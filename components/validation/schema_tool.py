"""Schemas to review and check in: infer one, show what one would have to change, write that when told.

Run in validation's environment by `mainspring schema`; never by a pipeline, whose schema must not widen by itself.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from google.protobuf import text_format
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

from mainspring.components.common import manifests, storage
from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import EXAMPLES_MANIFEST, STATISTICS_FILE, ExamplesManifest
from mainspring.components.statistics import span_statistics, statistics_files
from mainspring.components.validation import schema_changes, schemas, words


def infer(source: str, label: str, output: str) -> str:
    """Writes the schema that suits examples, and returns what was done.

    Args:
        source: Folder of an examples artifact, of a statistics artifact, or a file of statistics.
        label: The label's column, which serving will not have.
        output: The file to write; it must not be there yet.

    Raises:
        UserError: The source cannot be read, has no such column, or the output is there already.
    """
    target = Path(output)
    if target.exists():
        raise UserError(
            f"{target}: is there already; `mainspring schema update` changes it, after `diff` has shown how"
        )
    whole, parts, several = _read(source)
    columns = list(span_statistics.by_name(whole))
    if label not in columns:
        raise UserError(f"label={label!r} is not a column of {source}; the columns are {', '.join(columns)}")
    schema = schemas.infer(whole, whole, parts, label, several)
    storage.write_atomically(target, schema.text)
    number = words.count(len(schema.proto.feature), "feature")
    return f"{target}: {number}, inferred from {span_statistics.dataset(whole).num_examples:,} rows; review it"


def changes(schema: str, source: str) -> tuple[list[schema_changes.Change], str]:
    """Returns what a schema would have to change for a source's rows, and the changed schema's text.

    Raises:
        UserError: One of the two cannot be read.
    """
    loaded = schemas.load(schema, "given")
    new = schema_changes.needed(loaded.proto, _read(source)[0])
    return schema_changes.between(loaded.proto, new), text_format.MessageToString(new, as_utf8=True)


def main(arguments: Sequence[str]) -> None:
    """Runs one of the commands."""
    parsed = _parser().parse_args(arguments)
    if parsed.command == "infer":
        print(infer(parsed.source, parsed.label, parsed.output))
        return
    found, text = changes(parsed.schema, parsed.source)
    write = parsed.command == "update" and parsed.write
    if write and found:
        path = storage.as_path(parsed.schema)
        storage.write_atomically(path / manifests.SCHEMA_FILE if path.is_dir() else path, text)
    if parsed.json:
        print(json.dumps({"changes": schema_changes.as_json(found), "written": bool(write and found)}, indent=2))
        return
    for change in found:
        print(f"{change.feature}: {change.sentence}")
    if not found:
        print(f"{parsed.schema}: nothing to change")
    elif write:
        print(f"{parsed.schema}: written; review the change before you check it in")
    elif parsed.command == "update":
        print("nothing was written: give --write to change the file")


def _read(source: str) -> tuple[DatasetFeatureStatisticsList, list[DatasetFeatureStatisticsList], bool]:
    """Returns the statistics of train, of its spans (or pieces of the only one), and whether there are several."""
    path = storage.as_path(source)
    if (path / EXAMPLES_MANIFEST).is_file():
        return _of_examples(path)
    candidates = (
        path / STATISTICS_FILE,
        path / "train" / STATISTICS_FILE,
        path / "statistics" / "train" / STATISTICS_FILE,
    )
    file = next((one for one in candidates if one.is_file()), path)
    if file.is_dir() or not file.exists():
        raise UserError(f"{source}: neither examples (with {EXAMPLES_MANIFEST}) nor statistics ({STATISTICS_FILE})")
    found, problem = statistics_files.read(file)
    if found is None:
        raise UserError(problem)
    return found, [found], False


def _of_examples(folder: Path) -> tuple[DatasetFeatureStatisticsList, list[DatasetFeatureStatisticsList], bool]:
    spans = manifests.read(ExamplesManifest, folder / EXAMPLES_MANIFEST).spans
    files = [folder / "train" / f"{span}.parquet" for span in spans]
    span_statistics.refuse_mixed_columns(files)
    several = len(files) > 1
    count = 0 if several else span_statistics.PIECES_OF_A_LONE_SPAN
    states = [span_statistics.accumulate(span_statistics.pieces(file, count)) for file in files]
    whole = span_statistics.extract([state for span in states for state in span])
    if not span_statistics.dataset(whole).num_examples:
        raise UserError(f"{folder}: train has no rows; there is nothing to learn a schema from")
    parts = states if several else [[state] for state in states[0]]
    return whole, [span_statistics.extract(part) for part in parts], several


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="schema_tool")
    commands = parser.add_subparsers(dest="command", required=True)
    inferring = commands.add_parser("infer")
    inferring.add_argument("source")
    inferring.add_argument("--label", required=True)
    inferring.add_argument("--output", required=True)
    for name in ("diff", "update"):
        command = commands.add_parser(name)
        command.add_argument("schema")
        command.add_argument("source")
        command.add_argument("--json", action="store_true")
        if name == "update":
            command.add_argument("--write", action="store_true")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
