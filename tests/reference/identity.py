"""The identity of one event, by plain integers: what `hepspark.features.identity` computes for many at once."""

import struct

from tests.reference.delphes import FIELDS, Event

WORD = 2**64 - 1


def identity(event: Event) -> int:
    """The hash of an event, as a signed 64-bit integer."""
    lists = {}
    for (name, columns), rows in zip(FIELDS.items(), event.rows(), strict=True):
        for number, column in enumerate(columns):
            lists[name, column] = [row[number] for row in rows]
    missing = [lists.pop(("MissingET", column)) for column in ("MET", "Phi")]
    word = 0x686570737061726B
    for values in [lists[key] for key in sorted(lists)] + missing:
        word = step(word, len(values))
        for value in values:
            word = step(word, bits(value))
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & WORD
    word = (word ^ word >> 27) * 0x94D049BB133111EB & WORD
    word ^= word >> 31
    return word - 2**64 if word >= 2**63 else word


def step(word: int, value: int) -> int:
    """A hash with one more integer in it."""
    word = (word ^ value) * 0x9E3779B97F4A7C15 & WORD
    return word ^ word >> 32


def bits(value: float) -> int:
    """The bits of a number in double precision; 0 and -0 are the same."""
    return struct.unpack("<Q", struct.pack("<d", value if value else 0.0))[0]
