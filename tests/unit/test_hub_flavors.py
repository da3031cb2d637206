"""What users choose from, and what they are told of the room there is."""

from decimal import Decimal

import pytest
from hepspark_hub.flavors import profiles
from hepspark_hub.room import Room, room
from hepspark_hub.settings import Settings

from hepspark.cluster.capacity import Quota, quantity

SMALL = {
    "name": "small", "title": "Small", "cores": 1, "requested_cores": 0.5, "memory": "1Gi",
    "executors": {"instances": 2},
}  # fmt: skip
LARGE = {**SMALL, "name": "large", "title": "Large", "requested_cores": 4, "memory": "16Gi", "groups": ["theory"]}
BASE = {
    "namespace": "physics", "image": "i:1", "storage": {"endpoint": "http://minio:9000"},
    "workspace": {"bucket": "workspaces"},
}  # fmt: skip


def quota(**free):
    amounts = {name.replace("_", "."): quantity(amount) for name, amount in free.items()}
    return Quota("q", amounts, amounts)


def settings(*flavors):
    return Settings.model_validate({**BASE, "flavors": flavors})


def test_a_flavor_is_for_its_groups():
    both = settings(SMALL, LARGE)
    assert [each["slug"] for each in profiles(both, (), Room())] == ["small"]
    assert [each["slug"] for each in profiles(both, ("theory", "x"), Room())] == ["small", "large"]


def test_what_is_free_is_told_and_what_does_not_fit():
    free = room([quota(requests_cpu="3500m", requests_memory="20Gi", limits_cpu="1")])
    assert free == Room(Decimal("3.5"), Decimal(20 * 2**30), None)
    small, large = profiles(settings(SMALL, LARGE), ("theory",), free)
    assert (
        small["description"] == "1 cores, 1Gi; up to 2 executors of 1 cores and 1g each. Free now: 3.5 cores, 20.0 GiB"
    )
    assert large["description"].endswith("No room now: cores (free: 3.5 cores, 20.0 GiB)")
    assert (small["default"], large["default"]) == (True, False)


def test_the_narrowest_quota_counts_and_none_bounds_nothing():
    assert room([quota(cpu="4", pods="3"), quota(requests_cpu="-1")]) == Room(Decimal(0), None, Decimal(3))
    assert room([]) == Room()
    assert Room().told() == ""


def test_flavors_are_told_apart():
    with pytest.raises(ValueError, match="small is there twice"):
        settings(SMALL, SMALL)
