"""Waits for a run's executors, and tells what keeps them from starting."""

import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from hepspark.cluster.client import ApiError, Cluster, Object
from hepspark.errors import RunError
from hepspark.kubernetes_spark import RUN_VARIABLE

_POLL_SECONDS = 1.0
QUIET_SECONDS = 10.0
"""What passes by itself within this time is not worth a word."""
LEAVING_SECONDS = 30.0
"""How long a pod may take to end after it was told to; one that takes longer counts as one that is there."""
_STARTING = ("ContainerCreating", "PodInitializing")


@dataclass(frozen=True)
class Problem:
    """What keeps an executor's pod from running."""

    pod: str
    reason: str
    message: str
    at_once: bool
    """Whether waiting does not help, so that it is told without delay."""

    def __str__(self) -> str:
        return f"executor pod {self.pod}: {self.reason}" + (f": {self.message}" if self.message else "")


def problems(pods: Sequence[Object]) -> list[Problem]:
    """What is wrong with pods, one finding for each that does not run."""
    return [found for pod in pods if (found := _problem(pod))]


def _problem(pod: Object) -> Problem | None:
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    for container in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        state = container.get("state") or {}
        if waiting := state.get("waiting"):
            reason = waiting.get("reason") or "Waiting"
            return Problem(name, reason, waiting.get("message") or "", at_once=reason not in _STARTING)
        ended = state.get("terminated")
        if ended and (ended.get("exitCode") or status.get("phase") == "Failed"):
            code = f"exit code {ended.get('exitCode')}"
            reason = ended.get("reason") or "Error"
            return Problem(name, reason, ended.get("message") or code, at_once=True)
    phase = status.get("phase")
    if phase == "Failed":
        return Problem(name, status.get("reason") or "Failed", status.get("message") or "", at_once=True)
    if phase != "Pending":
        return None
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            reason = condition.get("reason") or "Unschedulable"
            return Problem(name, reason, condition.get("message") or "", at_once=False)
    return Problem(name, "Pending", "the scheduler has chosen no node yet", at_once=False)


_REMEDIES = {
    "Unschedulable": "take fewer or smaller executors (spark.executor.instances, cores, memory), or ask the operator "
    "for more nodes",
    "ErrImagePull": "correct spark.kubernetes.image, or make the image available to the nodes",
    "ImagePullBackOff": "correct spark.kubernetes.image, or make the image available to the nodes",
    "InvalidImageName": "correct spark.kubernetes.image",
    "CreateContainerConfigError": "create the Secret or ConfigMap that the executor's pod template names",
    "OOMKilled": "set a larger spark.executor.memory",
}


def remedy(problem: Problem) -> str:
    """What to do about it."""
    return _REMEDIES.get(problem.reason) or _more(f"describe pod {problem.pod}", f"pod {problem.pod}")


def _more(command: str, thing: str) -> str:
    """Where whoever reads this finds more.

    That is kubectl where it is installed, and for the log of a run, which kubectl shows. Users of notebooks have none.
    """
    has_kubectl = os.environ.get(RUN_VARIABLE) or shutil.which("kubectl")
    return f"see kubectl {command}" if has_kubectl else f"ask the operator about {thing}"


def clear(cluster: Cluster, driver: str) -> None:
    """Remove what an earlier Spark of a driver's pod left behind.

    A Spark that was killed, as with its notebook's kernel, removes nothing, and its executors fail without it. They are
    removed with the driver's pod, but that may live on for days. There is one Spark at a time in such a pod.

    Args:
        cluster: The namespace.
        driver: Name of the driver's pod.
    """
    for kind in ("pods", "configmaps"):
        with suppress(ApiError):  # it stays until the driver's pod ends
            for found in cluster.objects(kind, "spark-role=executor"):
                meta = found["metadata"]
                if any(owner["name"] == driver for owner in meta.get("ownerReferences") or ()):
                    cluster.request("DELETE", cluster.path(kind, meta["name"]))


def wait(
    cluster: Cluster,
    selector: str,
    wanted: int,
    registered: Callable[[], int],
    refused: Callable[[], str | None],
    tell: Callable[[str], None],
    timeout: float,
    quiet_seconds: float = QUIET_SECONDS,
    *,
    patient: bool = True,
) -> None:
    """Wait until all executors are there; tell each reason that keeps one away, once.

    Args:
        cluster: Their namespace.
        selector: Labels of their pods.
        wanted: How many there are to be.
        registered: How many have registered with the driver.
        refused: Why the API server takes no executor pod; asked when too few appear.
        tell: Called with what keeps a pod from running.
        timeout: Seconds to wait at most.
        quiet_seconds: How long a pod may be in a state that passes by itself before it is told.
        patient: Whether to go on waiting where the API server takes no pod: others may leave.

    Raises:
        RunError: they are not all there in time, or Spark has ended.
    """
    start = time.monotonic()
    told: set[tuple[str, str]] = set()
    waiting_since: dict[tuple[str, str], float] = {}
    last: Problem | None = None
    no_pods: str | None = None
    there = 0
    while True:
        there = _registered(registered, last)
        if there >= wanted:
            return
        pods = _pods(cluster, selector)
        now = time.monotonic()
        found = problems(pods or ())
        for problem in found:
            since = waiting_since.setdefault((problem.pod, problem.reason), now)
            if (problem.at_once or now - since >= quiet_seconds) and (problem.reason, problem.message) not in told:
                told.add((problem.reason, problem.message))
                tell(f"{problem}; {remedy(problem)}")
            last = problem
        if not found and pods:
            last = None
        if pods is not None and len(pods) < wanted - there and now - start >= quiet_seconds and no_pods is None:
            no_pods = refused() or ""
            if no_pods and not patient:
                raise RunError(_too_few(len(pods), wanted, no_pods))
            tell(_too_few(len(pods), wanted, no_pods))
        if now - start >= timeout:
            reason = f"{last}; {remedy(last)}" if last else _too_few(len(pods or ()), wanted, no_pods or "")
            raise RunError(
                f"{there} of {wanted} executors started within {timeout:g} s (spark.executor.pending_timeout): {reason}"
            )
        time.sleep(_POLL_SECONDS)


def wait_for_leaving(cluster: Cluster, selector: str, staying: int) -> None:
    """Wait until executors that were told to end have given back what their pods hold, which no other can have before.

    Args:
        cluster: Their namespace.
        selector: Labels of the pods of all executors.
        staying: How many of them are to stay.
    """
    end = time.monotonic() + LEAVING_SECONDS
    while len(_pods(cluster, selector) or ()) > staying and time.monotonic() < end:
        time.sleep(_POLL_SECONDS)


def _too_few(pods: int, wanted: int, refused: str) -> str:
    why = refused or f"Spark could not create them, or they ended at once; {_more('get events', 'them')}"
    return f"{pods} of {wanted} executor pods exist: {why}"


def _registered(registered: Callable[[], int], last: Problem | None) -> int:
    try:
        return registered()
    except Exception as error:
        # Spark ends itself when executors fail again and again; all that py4j can tell is a broken connection.
        reason = f"the last of them: {last}; {remedy(last)}" if last else _more("get events", "them")
        raise RunError(f"Spark ended, because its executors failed repeatedly when they started; {reason}") from error


def _pods(cluster: Cluster, selector: str) -> list[Object] | None:
    try:
        return cluster.objects("pods", selector)
    except ApiError:
        return None
