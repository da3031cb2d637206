"""The loops over pairs of particles, compiled by numba.

Compiled code is kept in the user's cache folder (`NUMBA_CACHE_DIR` names another): numba's own choice is the
folder of the sources, which is read-only in an image. Where nothing can be kept, each process compiles again.
"""

import os
from pathlib import Path
from typing import Final

import numpy as np

from hepspark.events import Floats, Integers, Words
from hepspark.features.isolation import CONE


def _can_cache() -> bool:
    folder = os.environ.get("NUMBA_CACHE_DIR")
    if not folder:
        root = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
        folder = os.environ["NUMBA_CACHE_DIR"] = str(Path(root) / "hepspark" / "numba")
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


_CACHE: Final = _can_cache()
# Numba reads the variable at its first import.
from numba import njit  # noqa: E402 (see the line above)

SIGNATURES: Final = {
    "pair_sums": "f8[:,::1](f8[::1],f8[::1],f8[::1],i8[::1],i8[::1],f8)",
    "cone_sums": "f8[::1](f8[::1],f8[::1],i8[::1],f8[::1],f8[::1],f8[::1],i8[::1],f8,f8)",
    "falling_order": "i8[::1](f8[::1],i8[::1])",
    "fold": "u8[::1](u8[::1],u8[::1],i8[::1],i8[::1])",
}
"""Types that the loops are compiled for ahead of time, for images (`deploy/images/compile_kernels.py`)."""

_TWO_PI: Final = 2.0 * np.pi
_FOLD: Final = np.uint64(0x9E3779B97F4A7C15)
_HALF: Final = np.uint64(32)
# Particles are sorted into bins of η a little wider than the cone, so that its particles are in this bin and the
# next; the bins at both ends hold everything beyond.
_BIN: Final = 0.3125
_BINS: Final = 40
_CENTRE: Final = 20


@njit(cache=_CACHE)
def pair_sums(
    pt: Floats, eta: Floats, phi: Floats, kind: Integers, offsets: Integers, wrap_at: float
) -> Floats:  # pragma: no cover (compiled)
    """Momentum around each particle, by the kind of its neighbours.

    Args:
        pt: Shape (N,), transverse momenta in GeV.
        eta: Shape (N,), pseudorapidities.
        phi: Shape (N,), azimuths within ±π.
        kind: Shape (N,), 0, 1 or 2.
        offsets: Shape (n + 1,): the particles of event i are offsets[i] to offsets[i + 1].
        wrap_at: Azimuthal differences beyond this are reduced by 2π; π is right.

    Returns:
        Shape (N, 3): scalar pT sum of each kind within ΔR < 0.3, the particle itself left out.
    """
    sums = np.zeros((len(pt), 3))
    longest = 0
    for event in range(len(offsets) - 1):
        longest = max(longest, offsets[event + 1] - offsets[event])
    order = np.empty(longest, np.int64)
    b_eta, b_phi = np.empty(longest), np.empty(longest)
    bin_of = np.empty(longest, np.int64)
    ends = np.empty(_BINS + 1, np.int64)
    for event in range(len(offsets) - 1):
        first, n = offsets[event], offsets[event + 1] - offsets[event]
        ends[:] = 0
        for i in range(n):
            place = np.floor(eta[first + i] / _BIN) + _CENTRE
            bin_of[i] = int(min(max(place, 0.0), _BINS - 1.0))
            ends[bin_of[i]] += 1
        begin = 0
        for b in range(_BINS + 1):
            count = ends[b]
            ends[b] = begin
            begin += count
        for i in range(n):
            slot = ends[bin_of[i]]
            order[slot] = first + i
            b_eta[slot] = eta[first + i]
            b_phi[slot] = phi[first + i]
            ends[bin_of[i]] = slot + 1  # in the end, the end of the bin
        i = 0
        for b in range(_BINS):
            last = ends[min(b + 1, _BINS - 1)]
            while i < ends[b]:
                for j in range(i + 1, last):
                    d_eta = b_eta[j] - b_eta[i]
                    d_phi = abs(b_phi[j] - b_phi[i])
                    if d_phi > wrap_at:
                        d_phi = _TWO_PI - d_phi
                    if d_eta * d_eta + d_phi * d_phi < CONE * CONE:
                        p, q = order[i], order[j]
                        sums[p, kind[q]] += pt[q]
                        sums[q, kind[p]] += pt[p]
                i += 1
    return sums


@njit(cache=_CACHE)
def cone_sums(
    axis_eta: Floats,
    axis_phi: Floats,
    axis_event: Integers,
    pt: Floats,
    eta: Floats,
    phi: Floats,
    offsets: Integers,
    wrap_at: float,
    beyond: float,
) -> Floats:  # pragma: no cover (compiled)
    """Momentum of particles around given directions.

    Args:
        axis_eta: Shape (M,), pseudorapidities of the directions.
        axis_phi: Shape (M,), their azimuths within ±π.
        axis_event: Shape (M,), the event of each.
        pt: Shape (N,), transverse momenta of the particles in GeV.
        eta: Shape (N,), their pseudorapidities.
        phi: Shape (N,), their azimuths within ±π.
        offsets: Shape (n + 1,): the particles of event i are offsets[i] to offsets[i + 1].
        wrap_at: Azimuthal differences beyond this are reduced by 2π; π is right.
        beyond: Particles at this ΔR or closer are left out; a negative number keeps all.

    Returns:
        Shape (M,): scalar pT sums within ΔR < 0.3.
    """
    sums = np.zeros(len(axis_eta))
    for axis in range(len(axis_eta)):
        event = axis_event[axis]
        for i in range(offsets[event], offsets[event + 1]):
            d_eta = eta[i] - axis_eta[axis]
            d_phi = abs(phi[i] - axis_phi[axis])
            if d_phi > wrap_at:
                d_phi = _TWO_PI - d_phi
            distance2 = d_eta * d_eta + d_phi * d_phi
            if distance2 < CONE * CONE and np.sqrt(distance2) > beyond:
                sums[axis] += pt[i]
    return sums


@njit(cache=_CACHE)
def falling_order(values: Floats, offsets: Integers) -> Integers:  # pragma: no cover (compiled)
    """The order that sorts each event's values from large to small.

    A library sort would do, but takes seconds to compile; here values are counted into bins, and what is still out
    of place then moves only a few places.

    Args:
        values: Shape (N,), not negative.
        offsets: Shape (n + 1,): the values of event i are offsets[i] to offsets[i + 1].

    Returns:
        Shape (N,): indices of the values; of equals, the first in the input comes first.
    """
    order = np.empty(len(values), np.int64)
    bins = 128
    ends = np.empty(bins + 1, np.int64)
    for event in range(len(offsets) - 1):
        first, last = offsets[event], offsets[event + 1]
        ends[:] = 0
        for i in range(first, last):
            ends[_falling_bin(values[i], bins)] += 1
        begin = first
        for b in range(bins + 1):
            count = ends[b]
            ends[b] = begin
            begin += count
        for i in range(first, last):
            b = _falling_bin(values[i], bins)
            order[ends[b]] = i
            ends[b] += 1
        for i in range(first + 1, last):
            moving = order[i]
            j = i
            while j > first and values[order[j - 1]] < values[moving]:
                order[j] = order[j - 1]
                j -= 1
            order[j] = moving
    return order


@njit(cache=_CACHE)
def fold(state: Words, values: Words, offsets: Integers, chosen: Integers) -> Words:  # pragma: no cover (compiled)
    """Hashes of chosen events with one more list of values in them: its length, then each value in its order.

    For values of any bits, each step is one to one in the hash, so that no difference is lost on the way.

    Args:
        state: Shape (m,), hashes of the chosen events so far.
        values: Shape (N,), the bits of the values.
        offsets: Shape (n + 1,): the values of event i are offsets[i] to offsets[i + 1].
        chosen: Shape (m,), which of the n events they are.

    Returns:
        Shape (m,): the new hashes.
    """
    result = np.empty_like(state)
    for place in range(len(chosen)):
        first, last = offsets[chosen[place]], offsets[chosen[place] + 1]
        word = (state[place] ^ np.uint64(last - first)) * _FOLD
        word ^= word >> _HALF
        for i in range(first, last):
            word = (word ^ values[i]) * _FOLD
            word ^= word >> _HALF
        result[place] = word
    return result


@njit(cache=_CACHE)
def _falling_bin(value: float, bins: int) -> int:  # pragma: no cover (compiled)
    return bins - 1 - int(min(np.sqrt(value) * 16.0, bins - 1.0))
