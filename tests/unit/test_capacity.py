"""Room for executors, in plain numbers."""

from decimal import Decimal

import pytest

from hepspark.cluster.capacity import (
    Need,
    Quota,
    Room,
    fits,
    quantity,
    read_template,
    requests_of,
    rooms_of,
    shortage,
    whole_rooms_of,
)
from hepspark.cluster.capacity import _takes as takes
from hepspark.errors import InputError

GIB = 1 << 30
NEED = Need(count=3, cores=1, memory=GIB + GIB // 2)


def amounts(cpu, memory, pods=110):
    return {"cpu": Decimal(str(cpu)), "memory": Decimal(memory * GIB), "pods": Decimal(pods)}


def quota(free, **hard):
    names = {name.replace("_", "."): Decimal(value) for name, value in hard.items()}
    return Quota("small", names, {**names, **{name.replace("_", "."): Decimal(value) for name, value in free.items()}})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2),
        ("500m", "0.5"),
        ("1.5Gi", 1.5 * GIB),
        ("1e3", 1000),
        ("1k", 1000),
        ("100n", "1e-7"),
        (4, 4),
        ("2E", 2e18),
    ],
)
def test_quantities(text, value):
    assert quantity(text) == Decimal(str(value))


def test_what_fits_is_not_refused():
    assert shortage(NEED, [], None) is None
    assert (
        shortage(NEED, [quota({}, requests_cpu=3, pods=3)], [Room("a", amounts(2, 8)), Room("b", amounts(1, 8))])
        is None
    )


def test_a_quota_tells_what_is_missing_and_what_would_fit():
    told = shortage(NEED, [quota({"requests_cpu": 2}, requests_cpu=4, limits_cpu=9)], None)
    assert "no room for 3 executors of 1 core and 1.5 GiB each" in told
    assert "quota small, requests.cpu: 3 cores needed, 2 cores free of 4 cores, 1 core missing" in told
    assert "2 would fit: set spark.executor.instances=2" in told
    assert "limits.cpu" not in told


@pytest.mark.parametrize(
    ("key", "free", "told"),
    [
        ("limits_memory", 4 * GIB, "limits.memory: 4.5 GiB needed, 4 GiB free of 16 GiB, 512 MiB missing"),
        ("memory", 4 * GIB, "memory: 4.5 GiB needed"),
        ("count/pods", 1, "count/pods: 3 pods needed, 1 pod free"),
        ("pods", 2, "pods: 3 pods needed, 2 pods free"),
        ("cpu", "0.5", "cpu: 3 cores needed, 0.5 cores free of"),
    ],
)
def test_every_kind_of_quota_that_binds_pods(key, free, told):
    assert told in shortage(NEED, [quota({key: free}, **{key: 16 * GIB})], None)


def test_a_quota_that_is_overdrawn_has_nothing_free():
    told = shortage(NEED, [quota({"pods": -2}, pods=4)], None)
    assert "0 pods free of 4 pods, 3 pods missing" in told
    assert "none would fit: make spark.executor.memory, cores or cpu smaller" in told


def test_nodes_take_whole_executors():
    assert fits(NEED, Room("a", amounts("1.9", 8))) == 1
    assert fits(NEED, Room("a", amounts(8, 2))) == 1
    assert fits(NEED, Room("a", amounts(8, 8, pods=2))) == 2
    assert fits(NEED, Room("a", amounts(-1, 8))) == 0
    told = shortage(NEED, [], [Room("a", amounts("1.9", 8)), Room("b", amounts("0.9", 8))])
    assert "nodes: 1 of 3 fit (a has 1.9 cores and 8 GiB free, b has 0.9 cores and 8 GiB free), 2 do not" in told
    assert "1 would fit" in told
    assert "no node takes executors" in shortage(NEED, [], [])


def test_requests_as_the_scheduler_counts_them():
    def container(cpu, **more):
        return {"resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}, **more}

    pod = {
        "spec": {
            "containers": [container("1"), {"resources": {"limits": {"cpu": "500m"}}}],
            "initContainers": [container("250m", restartPolicy="Always"), container("3")],
            "overhead": {"cpu": "100m"},
        }
    }
    assert requests_of(pod) == {"cpu": Decimal("3.1"), "memory": Decimal(2 * GIB), "pods": Decimal(1)}


def test_nodes_that_executors_may_not_run_on():
    def node(taints=(), **labels):
        return {"metadata": {"labels": labels}, "spec": {"taints": list(taints)}}

    taint = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}
    assert takes(node(), {})
    assert not takes(node([taint]), {})
    assert takes(node([{**taint, "effect": "PreferNoSchedule"}]), {})
    assert takes(node([taint]), {"tolerations": [{"operator": "Exists"}]})
    assert takes(node([taint]), {"tolerations": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]})
    assert not takes(node([taint]), {"tolerations": [{"key": "gpu", "value": "no"}]})
    assert not takes(node([taint]), {"tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoExecute"}]})
    assert takes(node(disk="fast"), {"nodeSelector": {"disk": "fast"}})
    assert not takes(node(), {"nodeSelector": {"disk": "fast"}})
    assert not takes({"metadata": {}, "spec": {"unschedulable": True}}, {})
    assert not takes({"metadata": {}, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}, {})


@pytest.mark.parametrize(
    ("content", "message"),
    [("a: [", "not a readable pod"), ("spec: {}", "not a readable pod"),
     ("spec: {containers: [{name: main}]}", "has no container 'executor'; it has main")],
)  # fmt: skip
def test_a_template_that_is_none_is_named(tmp_path, content, message):
    path = tmp_path / "pod.yaml"
    path.write_text(content)
    with pytest.raises(InputError, match=f"spark.kubernetes.executor_template: .*pod.yaml.*{message}"):
        read_template(str(path))


def test_what_is_requested_may_be_less_than_the_limit():
    quota = Quota(
        "q",
        {"requests.cpu": Decimal(2), "limits.cpu": Decimal(4)},
        {"requests.cpu": Decimal(2), "limits.cpu": Decimal(4)},
    )
    assert shortage(Need(4, 1, 1, Decimal("0.5")), [quota], None) is None
    told = shortage(Need(5, 1, 1, Decimal("0.5")), [quota], None)
    assert "limits.cpu: 5" in told
    assert "requests.cpu" not in told.replace("quota q, requests.cpu: 2.5", "")


def test_a_node_at_its_best_has_all_but_what_each_node_runs():
    def pod(cpu, owner):
        return {
            "metadata": {"ownerReferences": [{"kind": owner}] if owner else []},
            "spec": {"nodeName": "a", "containers": [{"resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}}]},
        }

    closed = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    node = {
        "metadata": {"name": "a", "labels": {"pool": "users"}},
        "spec": {"unschedulable": True, "taints": [closed]},
        "status": {
            "allocatable": {"cpu": "4", "memory": "9Gi", "pods": "8"},
            "conditions": [{"type": "Ready", "status": "False"}],
        },
    }
    pods = [pod("250m", "DaemonSet"), pod("500m", "Node"), pod("1", "ReplicaSet"), pod("2", None)]
    assert rooms_of([node], pods, {}) == []
    assert whole_rooms_of([node], pods, {}) == [Room("a", amounts("3.25", 7, 6))]
    assert whole_rooms_of([node], pods, {"nodeSelector": {"pool": "others"}}) == []
    node["spec"]["taints"].append({"key": "gpu", "effect": "NoSchedule"})
    assert whole_rooms_of([node], pods, {}) == []
