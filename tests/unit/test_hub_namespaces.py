"""What is in the namespace of each user."""

from decimal import Decimal

import pytest
from hepspark_hub import namespaces
from hepspark_hub.room import room

from hepspark.cluster.capacity import quotas_of
from tests.unit.hub_settings import BASE, SMALL, settings


def of(quota):
    return settings(servers=BASE["servers"] | {"quota": quota})


def there(name="user", hard=None, used=None):
    return {"metadata": {"name": name}, "spec": {"hard": hard}, "status": {"hard": hard, "used": used}}


@pytest.mark.parametrize(
    ("found", "free"),
    [
        ([], 4),
        ([there(hard={"cpu": "1"}, used={"cpu": "1"})], 3),  # the operator has given more
        ([there(hard={"cpu": "8"}, used={"cpu": "1"})], 3),  # or less
        ([there(hard={"cpu": "8"}), there("site", {"cpu": "2"}, {})], 2),
    ],
)
def test_the_hubs_quota_counts_as_it_is_set_now(found, free):
    assert room(quotas_of(namespaces.with_quota(of({"cpu": "4"}), found))).quota["cpu"] == Decimal(free)


def test_no_quota_takes_the_old_one_back():
    assert room(quotas_of(namespaces.with_quota(of({}), [there(hard={"cpu": "1"}, used={})]))).quota == {}
    content = namespaces.content(of({}), "hub-ada", of({}).flavors, "")
    (quota,) = [one for one in content if one["metadata"]["name"] == "user"]
    assert quota["spec"] == {"hard": {}}


def test_the_limits_of_pods_are_those_of_the_largest_flavor():
    executors = {"instances": 2, "cores": 3, "memory": "4g", "requested_cores": 0.5}
    flavors = settings(flavors=[SMALL, {**SMALL, "name": "wide", "cores": 2, "memory": "2Gi", "executors": executors}])
    pod, container = namespaces.limits(flavors.flavors)
    assert pod == {"type": "Pod", "max": {"cpu": "3", "memory": "5735Mi"}}  # of an executor, whose memory is 1.4 heaps
    assert container["maxLimitRequestRatio"] == {"cpu": "6000m", "memory": "1"}
    assert container["default"] == container["defaultRequest"] == {"cpu": "1", "memory": "1024Mi"}


def test_the_limits_of_small_flavors_are_not_exceeded_by_what_a_pod_gets():
    alone = {**SMALL, "cores": 0.5, "memory": "512Mi", "executors": {"instances": 0, "cores": 8, "memory": "9g"}}
    pod, container = namespaces.limits(settings(flavors=[alone]).flavors)
    assert pod["max"] == container["default"] == {"cpu": "0.5", "memory": "512Mi"}
