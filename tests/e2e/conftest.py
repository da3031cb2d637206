"""One lab for all tests of a module, or of modules that go on where another ended; it is gone when they end."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.e2e.facility import NAME, Facility
from tests.e2e.runs import Platform


@pytest.fixture(scope="session")
def lab_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Any], Facility]]:
    """The lab that a module asks for; the one before is taken away, unless the module goes on with it."""
    made: list[Facility] = []

    def down() -> None:
        while made:
            facility = made.pop()
            ended = facility.make("lab-down")
            assert ended.code == 0, ended.text
            assert facility.run("ip", "-brief", "link").results.count(f"hl-{NAME}") == 0

    def of(module: Any) -> Facility:
        wanted = getattr(module, "FACILITY", {})
        if made and getattr(module, "GOES_ON", False) and made[0].lab == wanted["lab"]:
            return replace(made[0], **wanted)
        down()
        facility = Facility(tmp_path_factory.mktemp("facility"), **wanted)
        facility.hosts("down")  # of a run that was killed
        made.append(facility)
        up = facility.make("lab")
        assert up.code == 0, up.text
        return facility

    try:
        yield of
    finally:
        down()


@pytest.fixture(scope="module")
def facility(request: pytest.FixtureRequest, lab_of: Callable[[Any], Facility]) -> Facility:
    return lab_of(request.module)


@pytest.fixture(scope="module")
def ready(facility: Facility) -> Facility:
    """The facility with all that `make deploy` makes, whether or not a module before has made it."""
    if not facility.kubeconfig.exists():
        deployed = facility.make("deploy")
        assert deployed.code == 0, deployed.text
    return facility


@pytest.fixture(scope="module")
def platform(facility: Facility) -> Platform:
    return Platform(facility)
