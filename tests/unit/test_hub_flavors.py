"""What users choose from, and what they are told of the room there is."""

from decimal import Decimal

import pytest
from hepspark_hub.flavors import allowed, profiles, proposed
from hepspark_hub.room import Room, room

from hepspark.cluster import capacity
from hepspark.cluster.capacity import Quota, quantity
from tests.unit.hub_settings import SMALL, settings

LARGE = {**SMALL, "name": "large", "title": "Large", "requested_cores": 4, "memory": "16Gi", "groups": ["theory"]}


def quota(**free):
    amounts = {name.replace("_", "."): quantity(amount) for name, amount in free.items()}
    return Quota("q", amounts, amounts)


def test_a_flavor_is_for_its_groups():
    both = settings(flavors=[SMALL, LARGE])
    assert [flavor.name for flavor in allowed(both, ())] == ["small"]
    assert [flavor.name for flavor in allowed(both, ("theory", "x"))] == ["small", "large"]


def test_what_is_free_is_told_and_what_does_not_fit():
    left = quota(requests_cpu="3500m", requests_memory="20Gi", limits_cpu="1")
    free = room([Quota("q", quota(requests_cpu="9", requests_memory="20Gi", limits_cpu="9").hard, left.free)])
    assert free.quota == {"cpu": Decimal("3.5"), "memory": Decimal(20 * 2**30)}
    assert free.limits == {"cpu": Decimal(1)}
    small, large = profiles(settings(flavors=[SMALL, LARGE]).flavors, free)
    assert small["description"] == (
        "1 core, 1Gi; up to 2 executors of 1 core and 1g each. Free now: 3.5 cores, 20 GiB of your quota"
    )
    assert "No room now: your quota has too few cores left." in large["description"]
    assert (small["default"], large["default"]) == (True, False)


def nodes(*memory, cores=8):
    return [capacity.Room(f"w{n}", {"cpu": Decimal(cores), "memory": quantity(m), "pods": Decimal(9)})
            for n, m in enumerate(memory)]  # fmt: skip


def test_a_server_must_fit_on_one_node():
    large = settings(flavors=[LARGE]).flavors[0]
    assert room([], nodes("15Gi", "15Gi")).lacks(large) == "no node has that much free"
    assert room([], nodes("15Gi", "16Gi")).lacks(large) == ""
    assert room([], nodes("15Gi", "16Gi")).told() == "16 cores, 31 GiB of the cluster"


def test_what_a_server_may_use_at_most_must_fit_too():
    small = settings(flavors=[SMALL]).flavors[0]
    assert room([quota(limits_cpu="900m", limits_memory="1Gi")]).lacks(small) == "your quota has too few cores left"
    assert room([quota(limits_cpu="1", limits_memory="1Gi")]).lacks(small) == ""


def test_the_narrowest_quota_counts_and_none_bounds_nothing():
    assert room([quota(cpu="4", pods="3"), quota(requests_cpu="-1")]).quota == {"cpu": 0, "pods": 3}
    assert room([]) == Room(whole=Room())
    assert Room().told() == ""


def test_flavors_are_told_apart():
    with pytest.raises(ValueError, match="small is there twice"):
        settings(flavors=[SMALL, SMALL])


SERVER, EXECUTOR = "its server needs 4 cores and 16 GiB, and", "each of its executors needs 2 cores and 16.9 GiB, and"


@pytest.mark.parametrize(
    ("whole", "told"),
    [
        (nodes("15Gi", "15Gi"), f"{SERVER} the largest node has 8 cores and 15 GiB"),
        (nodes("16Gi", cores=1), f"{SERVER} the largest node has 1 core and 16 GiB"),
        (nodes("16383Mi", "16382Mi", "8Gi"), f"{SERVER} the largest node has 8 cores and 15.9 GiB"),
        (
            nodes("15Gi", "1Gi") + nodes("99Gi", cores="3.999"),
            f"{SERVER} the largest nodes have 3.99 cores and 99 GiB, or 8 cores and 15 GiB",
        ),
        (nodes("16Gi"), f"{EXECUTOR} the largest node has 8 cores and 16 GiB"),  # its pod has 1.4 heaps
        (nodes("16Gi", "17Gi"), ""),
        (None, ""),
    ],
)
def test_what_no_node_can_ever_hold_is_told_and_not_proposed(whole, told):
    wide = {**LARGE, "groups": [], "executors": {"instances": 1, "cores": 2, "memory": "12g"}}
    both = settings(flavors=[wide, SMALL]).flavors
    free = room([], nodes("1Gi"), whole)
    assert free.never_holds(both[0]) == told
    large, small = profiles(both, room([], whole, whole))
    assert (f"It cannot be started on this cluster: {told}" in large["description"]) == bool(told)
    assert (large["default"], small["default"]) == (not told, bool(told))
    assert (large["never"], small["never"]) == (bool(told), False)


@pytest.mark.parametrize(
    ("hard", "told"),
    [
        ({"requests_cpu": "3"}, "its server needs 4 cores, and your quota is 3 cores"),
        ({"limits_cpu": "4"}, "its server needs 8 cores, and your quota is 4 cores"),
        ({"cpu": "1", "memory": "9Gi"}, "its server needs 4 cores and 16 GiB, and your quota is 1 core and 9 GiB"),
        ({"pods": "0"}, "its server needs 1 pod, and your quota is 0 pods"),
        ({"requests_cpu": "4", "limits_cpu": "8", "memory": "16Gi", "pods": "1"}, ""),
    ],
)
def test_what_a_quota_can_never_hold_is_told_too(hard, told):
    (large,) = settings(flavors=[{**LARGE, "cores": 8}]).flavors
    bounds = quota(**hard).hard
    used_up = Quota("q", bounds, dict.fromkeys(bounds, Decimal(0)))
    assert room([used_up], nodes("99Gi"), nodes("99Gi")).never_holds(large) == told


def test_who_names_no_flavor_gets_one_that_has_room():
    two = [{**SMALL, "name": name, "memory": memory} for name, memory in (("much", "9Gi"), ("more", "5Gi"))]
    much, more, small = settings(flavors=[*two, SMALL]).flavors
    assert proposed([much, more, small], room([], nodes("9Gi"), nodes("9Gi"))) == much
    assert proposed([much, more, small], room([], nodes("2Gi"), nodes("9Gi"))) == small
    assert proposed([much, more], room([], nodes("1Gi"), nodes("6Gi"))) == more  # later
    assert proposed([much, more], room([], nodes("1Gi"), nodes("1Gi"))) == much  # which is refused


def test_a_cluster_without_a_node_for_servers_says_so():
    (large,) = settings(flavors=[LARGE]).flavors
    assert room([], [], []).never_holds(large) == f"{SERVER} no node takes servers"


def test_executors_that_a_flavor_does_not_have_need_no_node():
    alone = settings(flavors=[{**SMALL, "executors": {"instances": 0, "cores": 64, "memory": "900g"}}]).flavors[0]
    assert room([], nodes("2Gi"), nodes("2Gi")).never_holds(alone) == ""
