"""The fast features: by hand, and against the plain reference."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepspark.features import CUTS, compute
from hepspark.schema import HLF, PARTICLE_COLUMNS, PARTICLE_TYPES
from tests.reference.delphes import Event, arrays, random_events
from tests.reference.features import features

ELECTRON = (40.0, 0.5, 1.0, -1)
MUON = (40.0, -0.5, -1.0, 1)
FAR = {"tracks": [(5.0, 3.0, 0.0, 211, 0.1, 0.2, 0.3)], "photons": [(2.0, -3.0, 0.0)], "neutrals": [(3.0, -4.0, 1.0)]}


def event(**collections) -> Event:
    """An event whose candidates are far from any lepton, unless given."""
    return Event(**{**FAR, **collections})


def hlf(sample: Event, **options) -> dict[str, float]:
    """Features of one event by name; empty if it is not selected."""
    found = compute(arrays([sample]), **options).hlf
    return dict(zip(HLF, found[0].tolist(), strict=True)) if len(found) else {}


def agree(sample: list[Event], *, published: bool) -> None:
    """Compare with the reference: the same events, numbers, particles, order."""
    expected = [features(one, published=published) for one in sample]
    found = compute(arrays(sample), published=published)
    selected = [number for number, result in enumerate(expected) if result.hlf]
    assert found.selected.tolist() == selected
    passed = np.array([result.passed for result in expected], dtype=int).reshape(-1, 3).sum(axis=0)
    assert found.cut_flow == dict(zip(CUTS, [len(sample), *passed.tolist()], strict=True))
    assert found.hlf.shape == (len(selected), 14)
    if not selected:
        return
    np.testing.assert_allclose(found.hlf, [expected[number].hlf for number in selected], rtol=1e-6, atol=1e-6)
    sequences = [expected[number].particles for number in selected]
    assert np.diff(found.sequences.offsets).tolist() == [len(particles) for particles in sequences]
    flat = np.array([particle for particles in sequences for particle in particles])
    for number, name in enumerate(PARTICLE_COLUMNS):
        column = found.sequences.columns[name]
        np.testing.assert_allclose(column, flat[:, number], rtol=1e-6, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(("seed", "published"), [(0, False), (1, False), (2, False), (3, False), (4, True), (5, True)])
def test_agrees_with_the_reference_on_random_events(seed, published):
    sample = random_events(np.random.default_rng(seed), 750)
    agree(sample, published=published)
    assert 200 < len(compute(arrays(sample), particles=False).selected) < 600  # all cuts are at work


PT = st.sampled_from([0.5, 0.500001, 1.0, 1.000001, 10.35, 18.0, 23.0, 23.000002, 40.0])
ETA = st.sampled_from([-6.5, -0.3, -0.0, 0.0, 0.3, 0.3125, 2.6, 2.6000001, 7.0]) | st.floats(-5, 5, width=32)
PHI = st.sampled_from([math.pi, -math.pi, 3.1, -3.1, 0.0, 0.3]) | st.floats(-3.140625, 3.140625, width=32)
CHARGE = st.sampled_from([-1, 1])
PARTICLES = st.lists(st.tuples(PT, ETA, PHI), max_size=6)
LEPTONS = st.lists(st.tuples(PT, ETA, PHI, CHARGE), max_size=3)
EVENTS = st.builds(
    Event,
    tracks=st.lists(st.tuples(PT, ETA, PHI, st.sampled_from([-211, 0, 13]), ETA, ETA, ETA), max_size=8),
    photons=PARTICLES,
    neutrals=PARTICLES,
    electrons=LEPTONS,
    muons=LEPTONS,
    jets=st.lists(st.tuples(st.sampled_from([30.0, 30.000002, 55.5]), ETA, st.integers(0, 3)), max_size=4),
    met=st.tuples(st.floats(0, 500, width=32), PHI),
)


@settings(deadline=None, max_examples=150)
@given(sample=st.lists(EVENTS, max_size=5), published=st.booleans())
def test_agrees_with_the_reference_on_any_events(sample, published):
    agree(sample, published=published)


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("n", [449, 450, 451, 700])
def test_the_hardest_particles_are_kept_and_in_the_published_code_the_first(n, published):
    rng = np.random.default_rng(n)
    # Few different momenta, so that many are equal where the list is cut.
    directions = [(rng.integers(2, 9) / 2, rng.uniform(-4, 4), rng.uniform(-3, 3)) for _ in range(3 * n)]
    electron = (900.0, *ELECTRON[1:])  # isolated in any crowd
    tracks = [*((*one, 211, 0.0, 0.0, 0.0) for one in directions[:n]), (*electron[:3], 11, 0.0, 0.0, 0.0)]
    sample = event(tracks=tracks, photons=directions[n : 2 * n], neutrals=directions[2 * n :], electrons=[electron])
    agree([sample], published=published)
    types = compute(arrays([sample]), published=published).sequences.columns["particle_type"]
    assert np.bincount(types).tolist() == [min(n, 450), 200, 150, 1]


@pytest.mark.parametrize(("published", "kept"), [(False, range(3, 453)), (True, range(1, 451))])
def test_which_of_the_tracks_above_the_limit_are_kept(published, kept):
    """By hand: 452 tracks of rising momentum. The first two in the file, a soft one and the lepton's, do not count."""
    electron = (9000.0, *ELECTRON[1:])
    first = [(0.5, 2.0, 2.0, 211, 0.0, 0.0, 0.0), (*electron[:3], 11, 0.0, 0.0, 0.0)]
    tracks = [(float(pt), 3.0, -2.0, 211, 0.0, 0.0, 0.0) for pt in range(1, 453)]
    columns = compute(
        arrays([event(tracks=first + tracks, electrons=[electron])]), published=published
    ).sequences.columns
    charged = columns["particle_type"] == PARTICLE_TYPES.index("charged_hadron")
    assert sorted(columns["particle_pt"][charged].tolist()) == list(kept)


def test_by_hand():
    near = [(4.0, 0.7, 1.0, 211, 0.1, 0.2, 0.3), (*ELECTRON[:3], 11, 0.0, 0.0, 0.0), (0.5, 0.5, 1.1, 211, 0, 0, 0)]
    sample = event(
        tracks=[*near, (100.0, 0.81, 1.0, -211, 0.0, 0.0, 0.0)],
        photons=[(2.0, 0.5, 1.2), (1.0, 0.5, 1.0)],
        neutrals=[(8.0, 0.5, 0.8), (50.0, 0.5, -2.0)],
        electrons=[ELECTRON],
        muons=[(23.0, 0.0, 0.0, 1)],
        jets=[(50.0, 1.0, 1), (30.0, 1.0, 1), (70.0, -2.7, 1), (45.0, -2.5, 0)],
        met=(30.0, 1.0 + math.pi / 3),
    )
    assert hlf(sample) == pytest.approx(
        {
            "HT": 95.0,
            "MET": 30.0,
            "MET_phi": 1.0 + math.pi / 3,
            "MT": math.sqrt(2 * 30 * 40 * 0.5),
            "nJets": 2,
            "nBjets": 1,
            "LepPt": 40.0,
            "LepEta": 0.5,
            "LepPhi": 1.0,
            "LepIsoCh": 4.0 / 40.0,
            "LepIsoGamma": 2.0 / 40.0,
            "LepIsoNeu": 8.0 / 40.0,
            "LepCharge": -1.0,
            "LepIsEle": 1.0,
        },
        rel=1e-6,
    )
    particles = compute(arrays([sample])).sequences.columns
    kinds = [PARTICLE_TYPES[number] for number in particles["particle_type"]]
    # By falling ΔR: 3.0, 0.31, and three at 0.2, which single precision tells apart.
    assert kinds[0] == "neutral_hadron"
    assert kinds[1] == "charged_hadron"
    assert sorted(kinds[2:5]) == ["charged_hadron", "neutral_hadron", "photon"]
    assert kinds[5:] == ["electron"]
    track = particles["particle_pt"].tolist().index(4.0)
    # Around it: the lepton's own track and the track of 100 GeV, the photon of 2 and the hadron of 8.
    isolations = [float(particles[f"particle_iso_{kind}"][track]) for kind in ("ch", "gamma", "neu")]
    assert isolations == pytest.approx([140.0 / 4.0, 2.0 / 4.0, 8.0 / 4.0])
    assert [float(particles[f"particle_vtx_{axis}"][track]) for axis in "xyz"] == pytest.approx([0.1, 0.2, 0.3])
    assert particles["particle_charge"].tolist()[-1] == -1


def test_a_cone_goes_on_beyond_pi():
    sample = event(electrons=[(40.0, 0.0, 3.1, 1)], photons=[(8.0, 0.0, -3.1)])
    assert hlf(sample)["LepIsoGamma"] == pytest.approx(0.2)
    assert hlf(sample, published=True)["LepIsoGamma"] == 0.0


@pytest.mark.parametrize("eta", [-40.0, -6.25, -0.15, 0.0, 0.3125, 6.1, 6.24, 7.0, 40.0])
def test_neighbours_are_found_at_any_eta(eta):
    pairs = [(2.0, eta, 0.0), (4.0, eta + 0.29, 0.0), (8.0, eta + 0.31, 0.0)]
    sample = event(electrons=[ELECTRON], photons=pairs, neutrals=[(3.0, -eta, 3.0)])
    agree([sample], published=False)
    columns = compute(arrays([sample])).sequences.columns
    softest = columns["particle_pt"].tolist().index(2.0)
    assert columns["particle_iso_gamma"][softest] == pytest.approx(2.0)


@pytest.mark.parametrize(("pt", "selected"), [(22.99, False), (23.0, False), (23.01, True)])
def test_momentum_cut(pt, selected):
    assert bool(hlf(event(electrons=[(pt, 0.5, 1.0, 1)]))) is selected


@pytest.mark.parametrize(("photon", "selected"), [(17.99, True), (18.0, False), (18.01, False)])
def test_isolation_cut(photon, selected):
    assert bool(hlf(event(electrons=[ELECTRON], photons=[(photon, 0.5, 1.1)]))) is selected


@pytest.mark.parametrize("kind", FAR)
def test_each_kind_of_candidate_is_needed(kind):
    assert not hlf(event(electrons=[ELECTRON], **{kind: []}))
    soft = [(0.5 if kind == "tracks" else 1.0, *FAR[kind][0][1:])]
    assert not hlf(event(electrons=[ELECTRON], **{kind: soft}))
    assert hlf(event(electrons=[ELECTRON]))


def test_the_hardest_isolated_lepton_wins():
    crowd = [(90.0, 0.0, -2.0, 211, 0.0, 0.0, 0.0)]
    sample = event(
        tracks=crowd,
        electrons=[(25.0, 1.5, 1.0, 1), (30.0, 1.0, 2.0, 1)],
        muons=[(60.0, 0.1, -2.0, 1), (29.0, 2.0, 0.0, 1)],
    )
    assert hlf(sample)["LepPt"] == 30.0
    # The published code takes the first of each kind, and then the larger η.
    assert hlf(sample, published=True)["LepEta"] == 2.0


def test_of_equal_leptons_the_electron_wins():
    found = hlf(event(electrons=[ELECTRON], muons=[MUON, ELECTRON]))
    assert (found["LepIsEle"], found["LepEta"]) == (1.0, 0.5)


def test_published_mt_is_squared():
    sample = event(muons=[MUON], met=(50.0, 2.0))
    assert hlf(sample, published=True)["MT"] == pytest.approx(hlf(sample)["MT"] ** 2, rel=1e-6)


def test_a_muon_without_track_is_isolated_by_what_is_there():
    sample = event(muons=[MUON])
    assert hlf(sample)["LepIsoCh"] == 0.0
    assert hlf(sample, published=True)["LepIsoCh"] == -1.0  # takes off a track that is not there


def test_the_lepton_comes_last_and_the_farthest_first():
    found = compute(arrays(random_events(np.random.default_rng(5), 300)))
    columns, offsets = found.sequences.columns, found.sequences.offsets
    for number, (start, stop) in enumerate(pairwise(offsets)):
        eta, phi = (columns[f"particle_{name}"][start:stop].astype(float) for name in ("eta", "phi"))
        d_phi = np.remainder(phi - phi[-1] + np.pi, 2 * np.pi) - np.pi
        delta_r = np.hypot(eta - eta[-1], d_phi)
        assert np.all(np.diff(delta_r) <= 1e-6)
        assert columns["particle_pt"][stop - 1] == found.hlf[number, HLF.index("LepPt")]
        assert PARTICLE_TYPES[columns["particle_type"][stop - 1]] in ("electron", "muon")


@pytest.mark.parametrize("sample", [[], [Event()], [event()]])
def test_nothing_selected(sample):
    found = compute(arrays(sample))
    assert found.hlf.shape == (0, 14)
    assert found.sequences.offsets.tolist() == [0]
    assert found.cut_flow["read"] == len(sample)
