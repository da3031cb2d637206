"""Files of a simulation share no event, whatever they differ in."""

import pytest

from hepspark.config import SimulateConfig
from hepspark.simulation.job import File, _seeds, identity

FILE = {"label": "qcd", "index": 0, "events": 300, "url": "/a/qcd-00000.root"}


def seeds(settings, **changes):
    return _seeds(identity(File(**FILE | changes), SimulateConfig(**settings)).int)


@pytest.mark.parametrize(
    ("settings", "changes"),
    [
        ({}, {"events": 1000}),  # the first 300 of them would be the same events under another identity
        ({}, {"index": 1}),
        ({}, {"label": "ttbar"}),
        ({"seed": 2}, {}),
        ({"pileup": 1}, {}),
    ],
)
def test_another_file_has_other_events(settings, changes):
    assert not set(seeds(settings, **changes)) & set(seeds({}))


def test_the_place_does_not_matter():
    assert seeds({}, url="s3a://elsewhere/x.root") == seeds({})
