"""The identity of events: of what they hold alone, against a plain implementation."""

from copy import deepcopy
from dataclasses import fields, replace

import numpy as np
import pytest

from hepspark.features import event_hashes
from tests.reference.delphes import Event, arrays, random_events
from tests.reference.identity import identity

SAMPLE = random_events(np.random.default_rng(11), 60)
ALL = np.arange(len(SAMPLE))


def hashes(sample, selected=None):
    chosen = np.arange(len(sample)) if selected is None else np.array(selected, np.int64)
    return event_hashes(arrays(sample), chosen).tolist()


def test_agrees_with_the_reference_and_is_another_for_each_event():
    found = hashes(SAMPLE)
    assert found == [identity(event) for event in SAMPLE]
    assert len(set(found)) == len(SAMPLE)


def test_never_changes():
    # Data sets that exist rest on it.
    event = Event(
        tracks=[(1.0, 2.0, 3.0, -211, 0.25, 0.5, 0.75)], jets=[(30.5, -1.0, 1), (20.5, 1.5, 0)], met=(12.5, -3.0)
    )
    assert hashes([event]) == [identity(event)] == [-4402971278556285108]


@pytest.mark.parametrize("selected", [[], [0], [59], [3, 4, 5], [0, 17, 58]])
def test_an_event_has_the_same_hash_wherever_it_stands_and_whatever_stands_around(selected):
    expected = [hashes(SAMPLE)[number] for number in selected]
    assert hashes(SAMPLE, selected) == expected
    assert hashes([SAMPLE[number] for number in selected]) == expected


FULL = next(event for event in SAMPLE if all(len(rows) > 1 for rows in event.rows()[:4]) and event.jets and event.muons)


def others():
    """One event, each time with a single value that is the next one, or with two objects exchanged."""
    for item in fields(FULL):
        rows = getattr(FULL, item.name)
        if item.name == "met":
            for number in (0, 1):
                changed = list(rows)
                changed[number] = float(np.nextafter(np.float32(changed[number]), np.float32(9)))
                yield replace(FULL, met=tuple(changed))
            continue
        for number in range(len(rows[0])):
            changed = deepcopy(rows)
            values = list(changed[-1])
            values[number] = float(np.nextafter(np.float32(values[number]), np.float32(-99)))
            changed[-1] = tuple(values)
            yield replace(FULL, **{item.name: changed})
        yield replace(FULL, **{item.name: rows[:-1]})
        yield replace(FULL, **{item.name: [*rows, rows[-1]]})
        if len(rows) > 1:
            yield replace(FULL, **{item.name: rows[::-1]})


def test_each_value_and_the_order_of_objects_counts():
    changed = list(others())
    assert len(changed) > 35
    # Integers of Delphes are integers in the file: their next value is not kept.
    found = [identity(event) for event in changed]
    assert len({identity(FULL), *found}) == len(found) + 1


def test_objects_do_not_pass_from_one_collection_to_another():
    photon = Event(photons=[(2.0, 1.0, 0.5)])
    neutral = Event(neutrals=[(2.0, 1.0, 0.5)])
    assert len(set(hashes([photon, neutral, Event()]))) == 3


def test_negative_zero_is_zero():
    plus, minus = (Event(photons=[(2.0, zero, 0.5)], met=(1.0, zero)) for zero in (0.0, -0.0))
    assert len(set(hashes([plus, minus]))) == 1


def test_many_events_that_differ_little_have_different_hashes():
    """Coarse numbers, as 12 bits of fraction leave them, differ in few high bits."""
    sample = [Event(met=(1.0 + i / 4096, j / 64)) for i in range(128) for j in range(128)]
    found = np.array(hashes(sample))
    assert len(set(found.tolist())) == len(sample)
    bits = np.unpackbits(found.view(np.uint8)).reshape(len(sample), 64).mean(axis=0)
    np.testing.assert_allclose(bits, 0.5, atol=0.02)
