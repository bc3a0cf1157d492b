"""Row hashes that are the same on every machine, in every run and with every version of every library.

They decide the split and make the fingerprint, so they are specified here to the bit rather than borrowed: DuckDB's and
Arrow's hash functions are free to change with a release, and md5 in SQL costs several times what the rest of the
ingestion does.

A row's hash is `mix(Σ mix(bits(value) ^ seed(column)))` modulo 2⁶⁴, over the columns whose value is not null: it
depends neither on the columns' order nor on columns that are null in the row, so a row keeps its side when a later
span brings another column.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Hashes = npt.NDArray[np.uint64]

CHUNK = 16_384
"""Rows hashed at a time: their intermediate arrays stay in the processor's cache."""

SHORT = 64
"""Bytes up to which strings are hashed eight bytes at a time, all rows at once; longer ones go through BLAKE2b."""

_TWO_63 = 2.0**63
_FRACTIONS = np.uint64(0x9E3779B97F4A7C15)
_STRINGS = np.uint64(0xD1B54A32D192ED03)
_KEPT = np.array([2 ** (8 * count) - 1 for count in range(9)], np.uint64)
"""Masks that keep so many of a word's bytes."""


def row_hashes(batch: pa.RecordBatch, columns: Sequence[str]) -> Hashes:
    """Returns a hash per row over the given columns, each int64, double or string.

    Equal numbers hash equally whether they are int64 or double.
    """
    seeds = {name: np.frombuffer(hashlib.blake2b(name.encode(), digest_size=8).digest(), "<u8")[0] for name in columns}
    parts = []
    for start in range(0, batch.num_rows, CHUNK):
        chunk = batch.slice(start, CHUNK)
        total = np.zeros(chunk.num_rows, np.uint64)
        for name, seed in seeds.items():
            column = chunk.column(name)
            hashed = _mix(_bits(column) ^ seed)
            if column.null_count:
                hashed *= pc.is_valid(column).to_numpy(zero_copy_only=False)
            total += hashed
        parts.append(_mix(total))
    return np.concatenate(parts) if parts else np.zeros(0, np.uint64)


def _mix(values: Hashes) -> Hashes:
    """Changes the array in place by the finaliser of SplitMix64 (Steele, Lea, Flood: Fast Splittable PRNGs, 2014)."""
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def _bits(column: pa.Array) -> Hashes:
    if pa.types.is_int64(column.type):
        return _values(column, np.dtype("<i8")).view(np.uint64)
    if pa.types.is_float64(column.type):
        return _bits_of_doubles(_values(column, np.dtype("<f8")))
    return _bits_of_strings(column)


def _values(column: pa.Array, kind: np.dtype) -> npt.NDArray:
    return np.frombuffer(column.buffers()[1], kind)[column.offset : column.offset + len(column)]


def _bits_of_doubles(values: npt.NDArray[np.float64]) -> Hashes:
    """Whole numbers become what they are as int64; all others, their IEEE 754 bits, with one kind of NaN."""
    whole = (np.trunc(values) == values) & (np.abs(values) < _TWO_63)
    if whole.all():
        return values.astype(np.int64).view(np.uint64)
    bits = np.where(np.isnan(values), np.float64("nan"), values).view(np.uint64) ^ _FRACTIONS
    return np.where(whole, np.where(whole, values, 0).astype(np.int64).view(np.uint64), bits)


def _bits_of_strings(column: pa.Array) -> Hashes:
    offsets = np.frombuffer(column.buffers()[1], "<i4")[column.offset : column.offset + len(column) + 1].astype(
        np.int64
    )
    starts, lengths = offsets[:-1] - offsets[:1], np.diff(offsets)
    if column.null_count:  # Their hash is thrown away: any length does, and one without empty strings is fast.
        lengths = np.where(pc.is_valid(column).to_numpy(zero_copy_only=False), lengths, 1)
    hashed = _mix(lengths.astype(np.uint64) ^ _STRINGS)
    data = column.buffers()[2]
    if data is None or not len(lengths):
        return hashed
    text = np.zeros(int(offsets[-1] - offsets[0]) + 8, np.uint8)
    text[:-8] = np.frombuffer(data, np.uint8)[int(offsets[0]) : int(offsets[-1])]
    words = np.ndarray((len(text) - 7,), "<u8", text, strides=(1,))
    longest, shortest = int(lengths.max()), int(lengths.min())
    for done in range(0, min(longest, SHORT), 8):
        if done < shortest and longest <= SHORT:
            hashed = _mix(hashed ^ (words[starts + done] & _KEPT[np.minimum(lengths - done, 8)]))
        else:
            at = np.flatnonzero((lengths > done) & (lengths <= SHORT))
            hashed[at] = _mix(hashed[at] ^ (words[starts[at] + done] & _KEPT[np.minimum(lengths[at] - done, 8)]))
    for row in np.flatnonzero(lengths > SHORT):
        digest = hashlib.blake2b(text[starts[row] : starts[row] + lengths[row]].tobytes(), digest_size=8).digest()
        hashed[row] = np.frombuffer(digest, "<u8")[0]
    return hashed
