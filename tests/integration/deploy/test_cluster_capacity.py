"""Room for executors, asked of a real API server."""

from threading import Timer

import pytest

from hepspark.cluster import capacity, executors
from hepspark.config import SparkConfig
from hepspark.errors import InputError, RunError

GIB = 1 << 30


def config(instances=2, **kubernetes):
    return SparkConfig(
        master="k8s://https://x",
        executor={"instances": instances},
        kubernetes={"image": "hepspark/spark:1", **kubernetes},
    )


def quota(namespace, hard, used, **spec):
    body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}, "spec": {"hard": hard, **spec}}
    namespace.create("resourcequotas", body)
    # This is the work of a controller.
    namespace.set_status("resourcequotas", "small", {"hard": hard, "used": used})


def test_a_quota_refuses_what_it_does_not_hold(namespace):
    quota(namespace, {"requests.cpu": "4", "pods": "10"}, {"requests.cpu": "1500m", "pods": "1"})
    capacity.check(namespace.driver, config(2), "demo", "driver-1")
    with pytest.raises(InputError) as told:
        capacity.check(namespace.driver, config(3), "demo", "driver-1")
    assert "requests.cpu: 3 cores needed, 2.5 cores free of 4 cores, 0.5 cores missing" in str(told.value)
    assert "set spark.executor.instances=2" in str(told.value)


def test_what_the_run_itself_holds_counts_as_free(namespace):
    mine = {"hepspark/run": "demo"}
    for name, labels in (("driver-1", mine), ("old-exec-1", mine), ("old-exec-2", mine), ("others", {"a": "b"})):
        namespace.pod(name, labels, cpu="1", memory="1Gi")
    quota(namespace, {"requests.cpu": "4"}, {"requests.cpu": "4"})
    assert capacity.quotas(namespace.driver, "demo", "driver-1")[0].free["requests.cpu"] == 2
    assert capacity.quotas(namespace.driver, "another", "driver-1")[0].free["requests.cpu"] == 0
    namespace.set_status("pods", "old-exec-1", {"phase": "Succeeded"})
    assert capacity.quotas(namespace.driver, "demo", "driver-1")[0].free["requests.cpu"] == 1


def test_a_quota_for_other_pods_does_not_bind_executors(namespace):
    quota(namespace, {"pods": "0"}, {"pods": "0"}, scopes=["Terminating"])
    assert capacity.quotas(namespace.driver, None, "driver-1") == []
    capacity.check(namespace.driver, config(2), "demo", "driver-1")


def test_what_an_earlier_spark_of_the_pod_left_is_removed_and_no_more(namespace):
    owners = {name: namespace.pod(name)["metadata"]["uid"] for name in ("jupyter-ada", "driver-2")}
    role = {"spark-role": "executor"}
    for name, owner in (("mine", "jupyter-ada"), ("theirs", "driver-2"), ("nobodys", None)):
        meta = {"name": name, "labels": role}
        if owner:
            reference = {"apiVersion": "v1", "kind": "Pod", "name": owner, "uid": owners[owner]}
            meta["ownerReferences"] = [reference]
        container = {"name": "executor", "image": "hepspark/spark:1"}
        namespace.create("pods", {"metadata": meta, "spec": {"containers": [container]}})
        namespace.create("configmaps", {"metadata": meta})
    namespace.set_status("pods", "mine", {"phase": "Failed"})
    executors.clear(namespace.driver, "jupyter-ada")
    for kind in ("pods", "configmaps"):
        assert {one["metadata"]["name"] for one in namespace.admin.objects(kind, "spark-role")} == {"theirs", "nobodys"}
    executors.clear(namespace.driver, "jupyter-ada")


def test_nodes_are_looked_at_where_that_is_granted(namespace):
    assert capacity.rooms(namespace.driver, {}, "demo", "driver-1") is None
    name = f"node-{namespace.name}"
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"of": namespace.name}}}
    namespace.admin.request("POST", "/api/v1/nodes", body)
    path = f"/api/v1/nodes/{name}"
    try:
        node = namespace.admin.request("GET", path)
        node["status"] = {"allocatable": {"cpu": "2", "memory": "8Gi", "pods": "110"}}
        namespace.admin.request("PUT", f"{path}/status", node)
        # The API server marks new nodes as not ready, as no kubelet reported.
        node = namespace.admin.request("GET", path)
        node["spec"]["taints"] = []
        namespace.admin.request("PUT", path, node)
        template = {"spec": {"nodeSelector": {"of": namespace.name}}}
        (room,) = capacity.rooms(namespace.admin, template, "demo", "driver-1")
        assert (room.free["cpu"], room.free["memory"]) == (2, 8 * GIB)
        pod = namespace.pod("others", cpu="1", memory="1Gi")
        bind = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "others"},
                "target": {"kind": "Node", "name": name}}  # fmt: skip
        namespace.admin.request("POST", namespace.admin.path("pods", f"{pod['metadata']['name']}/binding"), bind)
        (room,) = capacity.rooms(namespace.admin, template, "demo", "driver-1")
        assert (room.free["cpu"], room.free["memory"]) == (1, 7 * GIB)
        told = capacity.shortage(capacity.need_of(config(2)), [], [room])
        assert f"nodes: 1 of 2 fit ({name} has 1 core and 7 GiB free), 1 do not" in told
    finally:
        namespace.admin.request("DELETE", path)


def test_a_pod_that_admission_refuses_is_told_before_spark_starts(namespace):
    with pytest.raises(InputError, match=r"pods are refused in namespace .*serviceaccount .*nobody.* not found"):
        capacity.check(namespace.driver, config(service_account="nobody"), "demo", "driver-1")
    namespace.admin.request(
        "PUT", f"/api/v1/namespaces/{namespace.name}",
        {"apiVersion": "v1", "kind": "Namespace",
         "metadata": {"name": namespace.name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}},
    )  # fmt: skip
    with pytest.raises(InputError, match="violates PodSecurity"):
        capacity.check(namespace.driver, config(), "demo", "driver-1")
    assert namespace.admin.objects("pods") == []


def wait(namespace, wanted=1, registered=lambda: 0, timeout=3.0, refused=lambda: None, told=None, patient=True):
    told, labels = [] if told is None else told, "spark-role=executor"
    executors.wait(
        namespace.driver, labels, wanted, registered, refused, told.append, timeout, quiet_seconds=1, patient=patient
    )
    return told


EXECUTOR = {"spark-role": "executor"}


def test_a_pod_that_stays_pending_is_told_once_with_the_schedulers_reason(namespace):
    message = "0/2 nodes are available: 2 Insufficient cpu."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    for name in ("exec-1", "exec-2"):
        namespace.pod(name, EXECUTOR)
        namespace.set_status("pods", name, {"phase": "Pending", "conditions": [condition]})
    told = []
    with pytest.raises(RunError) as ended:
        wait(namespace, 2, told=told)
    assert len(told) == 1
    assert message in told[0]
    assert "take fewer or smaller executors" in told[0]
    assert "0 of 2 executors started within 3 s (spark.executor.pending_timeout)" in str(ended.value)
    assert message in str(ended.value)


def test_an_image_that_is_not_there_is_told_at_once(namespace):
    namespace.pod("exec-1", EXECUTOR)
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image hepspark/spark:1"}}
    status = {"name": "executor", "image": "x", "imageID": "", "ready": False, "restartCount": 0, "state": waiting}
    namespace.set_status("pods", "exec-1", {"phase": "Pending", "containerStatuses": [status]})
    told = []

    def registered():
        return len(told)  # it comes up as soon as somebody has corrected it

    wait(namespace, registered=registered, told=told, timeout=30)
    assert told == [
        "executor pod exec-1: ImagePullBackOff: no such image hepspark/spark:1; correct spark.kubernetes.image, or "
        "make the image available to the nodes"
    ]


def test_pods_that_do_not_appear_are_told_with_the_quotas_reason(namespace):
    quota(namespace, {"pods": "1"}, {"pods": "1"})
    told = []
    with pytest.raises(RunError, match="exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1"):
        wait(namespace, 2, told=told, refused=lambda: capacity.refusal(namespace.driver, config(), {}, "demo"))
    assert len(told) == 1
    assert "0 of 2 executor pods exist" in told[0]


def test_who_scales_is_told_at_once_that_no_pod_is_taken(namespace):
    quota(namespace, {"pods": "1"}, {"pods": "1"})
    told = []
    with pytest.raises(RunError, match=r"^0 of 2 executor pods exist: .*exceeded quota: small, requested: pods"):
        wait(
            namespace, 2, timeout=100, told=told, patient=False,
            refused=lambda: capacity.refusal(namespace.driver, config(), {}, "demo"),
        )  # fmt: skip
    assert told == []


def test_an_executor_that_leaves_is_waited_for(namespace):
    for name in ("exec-1", "exec-2"):
        namespace.pod(name, EXECUTOR)
    path = namespace.admin.path("pods", "exec-2")
    leaving = Timer(1, lambda: namespace.admin.request("DELETE", path, {"gracePeriodSeconds": 0}))
    leaving.start()
    executors.wait_for_leaving(namespace.driver, "spark-role=executor", 1)
    leaving.join()
    assert [pod["metadata"]["name"] for pod in namespace.admin.objects("pods")] == ["exec-1"]


def test_a_spark_that_ended_is_told(namespace):
    def gone():
        raise ConnectionRefusedError

    with pytest.raises(RunError, match="Spark ended, because its executors failed"):
        wait(namespace, registered=gone)
