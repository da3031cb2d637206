"""What keeps an executor's pod from running, as its status tells."""

import pytest

from hepspark.cluster.executors import _too_few, problems, remedy


def pod(phase="Pending", **status):
    return {"metadata": {"name": "exec-1"}, "status": {"phase": phase, **status}}


def waiting(reason, message=""):
    return pod(containerStatuses=[{"state": {"waiting": {"reason": reason, "message": message}}}])


UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes: cpu"}


@pytest.mark.parametrize(
    ("status", "told", "at_once", "advice"),
    [
        (pod(conditions=[UNSCHEDULABLE]), "exec-1: Unschedulable: 0/2 nodes: cpu", False, "fewer or smaller"),
        (
            pod(),
            "executor pod exec-1: Pending: the scheduler has chosen no node yet",
            False,
            "kubectl describe pod exec-1",
        ),
        (waiting("ContainerCreating"), "executor pod exec-1: ContainerCreating", False, "describe"),
        (waiting("ImagePullBackOff", "no such image"), "ImagePullBackOff: no such image", True, "kubernetes.image"),
        (waiting("CreateContainerConfigError", 'secret "s3" not found'), 'secret "s3" not found', True, "the Secret"),
        (
            pod("Failed", containerStatuses=[{"state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]),
            "OOMKilled: exit code 137", True, "larger spark.executor.memory",
        ),
        (pod("Failed", reason="Evicted", message="disk pressure"), "Evicted: disk pressure", True, "describe"),
    ],
)  # fmt: skip
def test_a_pod_that_does_not_run(status, told, at_once, advice, monkeypatch):
    monkeypatch.setenv("HEPSPARK_RUN", "demo")
    (found,) = problems([status])
    assert told in str(found)
    assert found.at_once == at_once
    assert advice in remedy(found)


@pytest.mark.parametrize(
    ("has_kubectl", "run", "told"),
    [
        (False, "", "ask the operator about pod exec-1"),
        (True, "", "see kubectl describe pod exec-1"),
        (False, "demo", "see kubectl describe pod exec-1"),
    ],
    ids=["in a notebook", "where kubectl is", "in a run's log"],
)
def test_kubectl_is_recommended_to_those_who_have_it(has_kubectl, run, told, monkeypatch, tmp_path):
    if has_kubectl:
        (tmp_path / "kubectl").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HEPSPARK_RUN", run)
    (found,) = problems([pod("Failed")])
    assert remedy(found) == told
    assert ("kubectl" in _too_few(0, 1, "")) == ("kubectl" in told)


def test_pods_that_run_or_have_run_are_no_problem():
    ended = {"terminated": {"exitCode": 0, "reason": "Completed"}}
    running = pod("Running", containerStatuses=[{"state": {"running": {}}}])
    assert problems([running, pod("Succeeded", containerStatuses=[{"state": ended}])]) == []
