"""The simulated detector, against numbers worked out by hand."""

import math
import uuid
from pathlib import Path

import numpy as np
import pytest
import uproot

from hepspark.config import SimulateConfig
from hepspark.simulation import detector, jets
from hepspark.simulation.job import File, collision_numbers, identity, shard_sizes
from hepspark.simulation.particles import Particles, concatenate, delta_r, from_cartesian, nothing, of_events, wrap_phi
from hepspark.simulation.pileup import Pool, overlay
from hepspark.simulation.processes import Truth, heavy_flavour
from hepspark.simulation.reconstruct import LEPTON_PT_MIN, Recorded, reconstruct
from hepspark.simulation.writer import round_mantissa, round_phi, write

PION, PHOTON, MUON, NEUTRON, B_PLUS, D_PLUS = 211, 22, 13, 2112, 521, 411


def make(*rows: tuple[float, ...]) -> Particles:
    """Massless particles of (event, pid, pt, eta, phi[, x, y, z])."""
    event, pid, pt, eta, phi, x, y, z = np.array([(*row, 0, 0, 0)[:8] for row in rows], np.float64).T
    return Particles(event.astype(np.int64), pid.astype(np.int64), pt, eta, phi, pt * np.cosh(eta), x, y, z)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def test_azimuths_wrap_into_one_turn() -> None:
    given = np.array([0.0, 3.0, 3.2, -3.2, 7.0, np.pi])
    expected = [0.0, 3.0, 3.2 - 2 * np.pi, 2 * np.pi - 3.2, 7.0 - 2 * np.pi, -np.pi]
    np.testing.assert_allclose(wrap_phi(given), expected, atol=1e-12)


def test_distance_reaches_over_the_border_of_phi() -> None:
    one, two = np.array([3.1]), np.array([-3.1])
    assert delta_r(np.array([0.3]), one, np.array([0.0]), two)[0] == pytest.approx(math.hypot(0.3, 2 * np.pi - 6.2))


def test_particles_from_components() -> None:
    found = from_cartesian(
        np.array([0]), np.array([PION]), [np.array([v]) for v in (3.0, 4.0, 12.0, 13.0)], [np.zeros(1)] * 3
    )
    assert found.pt[0] == pytest.approx(5.0)
    assert found.phi[0] == pytest.approx(math.atan2(4, 3))
    assert found.eta[0] == pytest.approx(math.asinh(12 / 5))


def test_joined_particles_come_in_the_order_of_events_and_chosen_events_are_numbered_anew() -> None:
    joined = concatenate([make((0, PION, 1, 0, 0), (2, PION, 2, 0, 0)), make((1, PION, 3, 0, 0), (2, PION, 4, 0, 0))])
    assert joined.pt.tolist() == [1, 3, 2, 4]
    kept = of_events(joined, np.array([1, 2]))
    assert (kept.event.tolist(), kept.pt.tolist()) == ([0, 1, 1], [3, 2, 4])


@pytest.mark.parametrize(
    ("pid", "pt", "eta", "expected"),
    [
        (PION, 5.0, 0.0, 0.95),
        (-PION, 0.6, 0.0, 0.70),
        (PION, 5.0, -2.0, 0.85),
        (PION, 5.0, 2.6, 0.0),
        (11, 20.0, 1.0, 0.95),
        (-11, 150.0, 2.0, 0.90),
        (MUON, 20.0, 1.0, 0.99),
        (MUON, 20.0, -2.4, 0.98),
        (MUON, 0.05, 0.0, 0.0),
    ],
)
def test_track_efficiency(pid: int, pt: float, eta: float, expected: float) -> None:
    assert detector.track_efficiency(np.array([pid]), np.array([pt]), np.array([eta]))[0] == expected


@pytest.mark.parametrize(
    ("pid", "pt", "eta", "expected"),
    [
        (PION, 100.0, 0.1, math.hypot(0.06, 0.13)),
        (11, 40.0, -1.0, math.hypot(0.05, 0.068)),
        (MUON, 100.0, 2.0, math.hypot(0.025, 0.035)),
    ],
)
def test_track_resolution(pid: int, pt: float, eta: float, expected: float) -> None:
    found = detector.track_resolution(np.array([pid]), np.array([pt]), np.array([eta]))
    assert found[0] == pytest.approx(expected)


def test_calorimeter_resolutions() -> None:
    energy, eta = np.array([100.0, 100.0, 100.0]), np.array([0.0, 2.0, -4.0])
    central = math.sqrt(0.8**2 + 1.1**2 + 0.4**2)
    electromagnetic = [central, 2.16 * central, math.hypot(10.7, 20.8)]
    np.testing.assert_allclose(detector.ecal_resolution(energy, eta), electromagnetic)
    hadronic = [math.hypot(5, 15), math.hypot(5, 15), math.hypot(13, 27)]
    np.testing.assert_allclose(detector.hcal_resolution(energy, eta), hadronic)


def test_smearing_by_nothing_changes_nothing(rng: np.random.Generator) -> None:
    values = np.array([0.5, 20.0, 300.0])
    np.testing.assert_array_equal(detector.smear(values, np.zeros(3), rng), values)


def test_smearing_has_the_mean_and_width_it_is_given(rng: np.random.Generator) -> None:
    smeared = detector.smear(np.full(200_000, 10.0), np.full(200_000, 4.0), rng)
    assert smeared.min() > 0
    assert smeared.mean() == pytest.approx(10.0, abs=0.05)
    assert smeared.std() == pytest.approx(4.0, abs=0.1)


def test_z_is_taken_where_the_track_meets_the_beam_line() -> None:
    # Born at (3, 4), 5 mm out along its direction; with sinh η = 2 it began 10 mm further back.
    track = make((0, PION, 1, math.asinh(2), math.atan2(4, 3), 3, 4, 12))
    assert detector.z_at_beam_line(track)[0] == pytest.approx(2.0)


def test_tracks_of_b_decays_stay_and_pile_up_goes() -> None:
    phi = math.atan2(4, 3)
    tracks = make(
        (0, PION, 1, math.asinh(2), phi, 3, 4, 12),  # flew 10 mm along the beam before it decayed
        (0, PION, 1, 0, 0, 0, 0, 12),  # a collision 10 mm away
        (1, PION, 1, 0, 0, 0, 0, 12),  # the vertex of the next event is there
    )
    assert detector.from_vertex(tracks, np.array([2.0, 12.5])).tolist() == [True, False, True]


def test_tracks_come_from_charged_particles_in_acceptance_only(rng: np.random.Generator) -> None:
    particles = make(*[(0, PION, 5, 0, 0), (0, PHOTON, 5, 0, 0), (0, PION, 5, 3, 0)] * 200)
    tracks, seen = detector.tracks(particles, rng)
    assert not seen[1::3].any()
    assert not seen[2::3].any()
    assert 170 <= seen[0::3].sum() <= 199
    assert len(tracks) == seen.sum()


def test_photons_of_one_cell_become_one(rng: np.random.Generator) -> None:
    particles = make(
        (0, PHOTON, 100, 0.005, 0.010), (0, PHOTON, 300, 0.009, 0.014), (0, PHOTON, 50, 0.5, 0.01),
        (1, PHOTON, 80, 0.005, 0.010), (1, NEUTRON, 80, 0.005, 0.010), (1, MUON, 80, 0.005, 0.010),
    )  # fmt: skip
    found = detector.photons(particles, np.zeros(len(particles), np.bool_), rng)
    assert found.event.tolist() == [0, 0, 1]
    np.testing.assert_allclose(found.pt, [400, 50, 80], rtol=0.1)
    assert found.eta[0] == pytest.approx((100 * 0.005 + 300 * 0.009) / 400, rel=1e-3)
    assert found.phi[0] == pytest.approx((100 * 0.010 + 300 * 0.014) / 400, rel=1e-3)


def test_charged_hadrons_without_a_track_are_seen_as_neutral(rng: np.random.Generator) -> None:
    particles = make((0, PION, 500, 0, 0), (0, PION, 500, 1, 1), (0, MUON, 500, 0, 2), (0, NEUTRON, 500, 4.9, 3))
    found = detector.neutral_hadrons(particles, np.array([True, False, False, False]), rng)
    np.testing.assert_allclose(np.sort(found.eta), [1.0, 4.9])


def test_what_hides_in_the_noise_is_dropped(rng: np.random.Generator) -> None:
    soft = make(*[(event, NEUTRON, 0.3, 0, 0) for event in range(100)])
    assert len(detector.neutral_hadrons(soft, np.zeros(100, np.bool_), rng)) < 5


def test_identification_wants_ten_gev_and_acceptance(rng: np.random.Generator) -> None:
    leptons = make(*[(0, MUON, 30, 0, 0), (0, MUON, 9, 0, 0), (0, MUON, 30, 2.45, 0), (0, 11, 30, 2.45, 0)] * 200)
    found = detector.identified(leptons, rng)
    assert 175 <= found[0::4].sum() <= 199
    assert not found[1::4].any()
    assert not found[2::4].any()
    assert 150 <= found[3::4].sum() <= 190


def test_back_to_back_momenta_leave_what_they_differ_by() -> None:
    found = make((0, PION, 50, 1, 0), (0, PHOTON, 30, -2, np.pi), (2, PION, 40, 0, 1), (2, PION, 40, 3, 1 - np.pi))
    size, azimuth = detector.missing_et(found, 3)
    np.testing.assert_allclose(size, [20, 0, 0], atol=1e-12)
    assert abs(azimuth[0]) == pytest.approx(np.pi)


def test_isolation_counts_neighbours_of_the_same_event_but_not_the_lepton() -> None:
    candidates = make(
        (0, MUON, 40, 0, 3.1), (0, PION, 4, 0.1, -3.1), (0, PHOTON, 2, 0, 3.0), (0, PION, 9, 0.5, 3.1),
        (1, MUON, 20, 0, 3.1), (1, PION, 5, 0.31, 3.1),
    )  # fmt: skip
    leptons = candidates[np.abs(candidates.pid) == MUON]
    np.testing.assert_allclose(jets.isolation(leptons, candidates), [6 / 40, 0], atol=1e-12)


def test_jets_gather_what_is_close_and_keep_events_apart() -> None:
    found = jets.cluster(
        make(
            (0, PION, 21, 0, 0), (0, PION, 30, 1, 3.1), (0, PHOTON, 10, 1, -3.1),
            (2, PION, 15, 0, 0), (3, PION, 19, 0, 0), (3, PHOTON, 19, 0, 1.0), (4, PION, 25, -2, 1),
        ),
        5,
    )  # fmt: skip
    assert found.event.tolist() == [0, 0, 4]
    np.testing.assert_allclose(found.pt, [40, 21, 25], rtol=1e-3)
    assert found.eta[2] == pytest.approx(-2, abs=1e-6)


def test_flavour_is_the_heaviest_hadron_inside() -> None:
    found = make((0, 0, 50, 0, 0), (0, 0, 50, 2, 0), (0, 0, 50, -2, 0), (1, 0, 50, 0, 0))
    hadrons = make((0, D_PLUS, 10, 0.1, 0), (0, -B_PLUS, 30, 0, 0.2), (0, D_PLUS, 10, 2, 0.1), (0, B_PLUS, 4, -2, 0))
    assert jets.flavour(found, hadrons).tolist() == [5, 4, 0, 0]


def test_quark_content() -> None:
    codes = [521, -5122, 10511, 411, -4122, 443, 211, 2212, 130, 5503, 2103, 990, 22, 5]
    expected = [5, 5, 5, 4, 4, 4, 0, 0, 0, 0, 0, 0, 0, 0]
    assert heavy_flavour(np.array(codes)).tolist() == expected


def test_b_tag_probabilities() -> None:
    found = detector.b_tag_probability(np.array([5, 4, 0]), np.array([50.0, 50.0, 50.0]))
    expected = [
        0.85 * math.tanh(0.125) * 25 / 4.15,
        0.25 * math.tanh(0.9) / 1.065,
        0.0119,
    ]
    np.testing.assert_allclose(found, expected)
    assert found[0] == pytest.approx(0.6367, abs=1e-4)


def test_jets_beyond_the_tracker_are_not_tagged(rng: np.random.Generator) -> None:
    found = make(*[(event, 0, 80, 2.6, 0) for event in range(300)])
    hadrons = make(*[(event, B_PLUS, 60, 2.6, 0) for event in range(300)])
    assert not jets.b_tags(found, hadrons, rng).any()


def test_pile_up_is_turned_mirrored_and_moved_as_a_whole(rng: np.random.Generator) -> None:
    event = make((0, PION, 3, 1.0, 0.5, 0.1, 0.2, 4), (0, PHOTON, 2, -2.0, 2.5, 0.1, 0.2, 4))
    found = overlay(Pool(event, np.array([0, 2])), 400, 5.0, rng)
    crossings = found.event[0::2]
    assert len(found) == 2 * len(crossings)
    assert len(crossings) == pytest.approx(2000, abs=200)
    np.testing.assert_allclose(found.eta[1::2], -2 * found.eta[0::2])
    assert (found.eta[0::2] > 0).mean() == pytest.approx(0.5, abs=0.05)
    assert np.histogram(found.phi[0::2], 4, (-np.pi, np.pi))[0] == pytest.approx(len(crossings) / 4, rel=0.15)
    np.testing.assert_allclose(wrap_phi(found.phi[1::2] - found.phi[0::2]), 2.0)
    np.testing.assert_allclose(
        wrap_phi(found.phi[0::2] - np.arctan2(found.y[0::2], found.x[0::2])), 0.5 - math.atan2(0.2, 0.1)
    )
    assert (found.z[0::2] - 4 * np.sign(found.eta[0::2])).std() == pytest.approx(53, abs=4)
    assert len(overlay(Pool(event, np.array([0, 2])), 400, 0.0, rng)) == 0


def test_only_events_with_a_lepton_are_recorded(rng: np.random.Generator) -> None:
    rows = [(event, MUON if event % 2 else PION, 40, 0, 0) for event in range(100)]
    truth = Truth(make(*rows), nothing(), np.arange(100))
    recorded = reconstruct(truth, None, 0.0, rng)
    assert 40 <= len(recorded) <= 50
    assert (recorded.parent % 2 == 1).all()
    assert np.unique(recorded.muons.event).tolist() == list(range(len(recorded)))
    assert recorded.muons.pt.max() > LEPTON_PT_MIN
    # The muon's track is the same measurement, so that whoever reads it can leave it out.
    assert set(recorded.muons.pt) <= set(recorded.tracks.pt)
    np.testing.assert_allclose(recorded.missing_et, recorded.muons.pt)
    assert len(recorded.jets) == 0  # an isolated lepton is no jet


def test_rounded_numbers_keep_twelve_bits() -> None:
    values = np.random.default_rng(1).lognormal(0, 4, 10_000) * np.tile([-1, 1], 5_000)
    rounded = round_mantissa(values)
    assert rounded.dtype == np.float32
    assert np.abs(rounded / values - 1).max() <= 2.0**-13 + 2.0**-23
    assert not (rounded.view(np.uint32) & 0x7FF).any()
    assert round_mantissa(np.array([0.0, 1.0, -2.5])).tolist() == [0.0, 1.0, -2.5]


def test_no_azimuth_is_rounded_beyond_pi() -> None:
    near = np.pi - np.geomspace(1e-16, 0.01, 200)
    azimuths = np.concatenate([near, -near, [np.pi, -np.pi, 0.0, 3.0]])
    assert np.abs(round_mantissa(azimuths)).max() > np.pi
    rounded = round_phi(azimuths)
    assert np.abs(rounded).max() <= np.pi
    np.testing.assert_allclose(rounded, azimuths, rtol=2.0**-12)
    assert not (rounded.view(np.uint32) & 0x7FF).any()
    np.testing.assert_array_equal(np.sign(rounded), np.sign(azimuths))


def test_azimuths_of_every_collection_are_written_within_pi(tmp_path: Path) -> None:
    beyond = make(*[(event, MUON, 40, 1, azimuth) for event in range(3) for azimuth in (np.pi, -np.pi)])
    recorded = Recorded(
        np.arange(3), *[beyond] * 6, np.ones(6, np.bool_), np.full(3, 9.0), np.array([np.pi, -np.pi, 0.0])
    )
    write(tmp_path / "a.root", [recorded], uuid.uuid4())
    with uproot.open(tmp_path / "a.root") as file:
        branches = file["Delphes"].keys(filter_name="*.Phi")
        found = {name: file["Delphes"][name].array(library="np") for name in branches}
    assert len(branches) == 7
    for name, values in found.items():
        assert max(np.abs(one).max() for one in values) == pytest.approx(np.pi, rel=2.0**-12), name
        assert max(np.abs(one).max() for one in values) <= np.pi, name


def test_numbers_of_collisions_are_unique_in_a_file_and_beyond() -> None:
    one, two = uuid.uuid4(), uuid.uuid4()
    together = collision_numbers(one, 100)
    np.testing.assert_array_equal(together[60:], collision_numbers(one, 40, start=60))
    assert len({*together.tolist(), *collision_numbers(two, 100).tolist()}) == 200


def test_the_identity_of_a_file_follows_from_its_events_alone() -> None:
    file = File("qcd", 3, 1000, "/somewhere/qcd-00003.root")
    config = SimulateConfig(seed=7, workers=2)
    assert identity(file, config) == identity(File("qcd", 3, 1000, "s3a://else/x"), SimulateConfig(seed=7, workers=1))
    others = [
        identity(File("ttbar", 3, 1000, file.url), config),
        identity(File("qcd", 4, 1000, file.url), config),
        identity(File("qcd", 3, 999, file.url), config),
        identity(file, SimulateConfig(seed=8)),
        identity(file, SimulateConfig(seed=7, pileup=21)),
        identity(file, SimulateConfig(seed=7, pileup_pool=100)),
    ]
    assert len({identity(file, config), *others}) == 7
    assert all(isinstance(other, uuid.UUID) for other in others)
    without = SimulateConfig(seed=7, pileup=0)
    assert identity(file, without) == identity(file, SimulateConfig(seed=7, pileup=0, pileup_pool=1))


def test_the_pool_is_cut_in_the_same_parts_for_everyone() -> None:
    assert shard_sizes(SimulateConfig(pileup_pool=1200)) == [500, 500, 200]
    assert shard_sizes(SimulateConfig(pileup_pool=500)) == [500]
    assert shard_sizes(SimulateConfig(pileup=0)) == []
