"""What is in the namespace of each user."""

from decimal import Decimal

import pytest
from hepspark_hub import namespaces
from hepspark_hub.room import room

from hepspark.cluster.capacity import quotas_of
from tests.unit.hub_settings import BASE, settings


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
    assert room(quotas_of(namespaces.with_quota(of({"cpu": "4"}), found))).cores == Decimal(free)


def test_no_quota_takes_the_old_one_back():
    assert room(quotas_of(namespaces.with_quota(of({}), [there(hard={"cpu": "1"}, used={})]))).cores is None
    (quota,) = [one for one in namespaces.content(of({}), "hub-ada", "") if one["metadata"]["name"] == "user"]
    assert quota["spec"] == {"hard": {}}
