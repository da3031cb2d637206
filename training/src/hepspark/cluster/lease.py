"""One Lease a run: one driver at a time works on it, and the newest submission wins.

A driver that starts writes its Job into the annotations of the Lease `hepspark-run-<run>` as the newest submission,
unless a newer one stands there: then it ends. It takes the Lease when that is free, released or expired. The holder
renews it every few seconds, and when it finds a newer submission there it ends after its current step and releases.
Every write names the resourceVersion that it was decided on, so of two writers one is refused and decides again.

The Lease keeps drivers from working side by side; that no step is ever counted twice is not its task but that of
the commits (`hepspark.run.commits`).
"""

import copy
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from hepspark.cluster.client import ApiError, Cluster, Object
from hepspark.errors import HandedOverError, HepsparkError, RunError
from hepspark.kubernetes_spark import RUN_LABEL

KIND = "coordination.k8s.io/v1/leases"
JOBS = "batch/v1/jobs"

DURATION_SECONDS = 15
"""A Lease that is not renewed for so long belongs to nobody."""
RENEW_SECONDS = 3.0
PATIENCE_SECONDS = 300.0
"""A holder whose step takes longer than this stops renewing, so that the newer driver need not wait for it."""
_POLL_SECONDS = 1.0
_UNREACHABLE_SECONDS = 60.0

_NEWEST = "hepspark/newest-"
_EXECUTORS = "hepspark/executors"


@dataclass(frozen=True, order=True)
class Submission:
    """A Job; the newer of two is the larger one."""

    created: str
    """Its creationTimestamp: in UTC, so that the order of the texts is that of time."""
    uid: str
    job: str


@dataclass(frozen=True)
class Driver:
    """A pod that works on a run."""

    run: str
    pod: str
    submission: Submission
    executors: int


def submission_of(job: Object) -> Submission:
    """The submission that a Job is."""
    meta = job["metadata"]
    return Submission(meta["creationTimestamp"], meta["uid"], meta["name"])


def name_of(run: str) -> str:
    """Name of a run's Lease."""
    return f"hepspark-run-{run}"


def acquire(cluster: Cluster, driver: Driver, tell: Callable[[str], None]) -> int | None:
    """Wait until this driver is the run's only one.

    Args:
        cluster: Where the run is.
        driver: This one.
        tell: Called once with whom it waits for.

    Returns:
        How many executors the driver before had, if there was one.

    Raises:
        HandedOverError: a newer submission of the run is there.
        RunError: the API server refuses the Lease, or cannot be reached.
    """
    since, record = time.monotonic(), None
    reached, told = time.monotonic(), False
    while True:
        try:
            lease = cluster.read(KIND, name_of(driver.run))
            reached = time.monotonic()
            holder, renewed = _held(lease)
            if (holder, renewed) != record:
                # What counts is how long we see no change: clocks of two machines need not agree.
                since, record = time.monotonic(), (holder, renewed)
            free = holder in ("", driver.pod) or time.monotonic() - since > _duration(lease)
            wanted = _claimed(lease, driver, _newer(cluster, lease, driver), free=free)
            if wanted and _write(cluster, lease, wanted) and free:
                return _executors(lease)
        except ApiError as error:
            if error.status or time.monotonic() - reached > _UNREACHABLE_SECONDS:
                raise RunError(
                    f"Lease {name_of(driver.run)} in namespace {cluster.namespace}: {error}; the driver's service "
                    "account needs the rights to get, create and update leases"
                ) from error
            wanted = None
        if not wanted:
            if not told and record and record[0]:
                tell(f"waiting until driver {record[0]} of run {driver.run} has finished its step")
                told = True
            time.sleep(_POLL_SECONDS)


def _newer(cluster: Cluster, lease: Object | None, driver: Driver) -> Submission | None:
    """The submission that replaces this driver's, if there is one whose Job was not deleted since."""
    newest = newest_of(lease)
    if newest is None or newest <= driver.submission:
        return None
    job = cluster.read(JOBS, newest.job)
    return newest if job and job["metadata"]["uid"] == newest.uid else None


def _claimed(lease: Object | None, driver: Driver, newer: Submission | None, *, free: bool) -> Object | None:
    """The Lease as this driver wants it, None where nothing is to be changed.

    Raises:
        HandedOverError: there is a newer submission.
    """
    if newer:
        raise HandedOverError(_handed_over(driver, newer))
    if newest_of(lease) == driver.submission and not free:
        return None
    wanted: Object = copy.deepcopy(lease) if lease else _empty(driver.run)
    _annotate(wanted, driver)
    if free:
        wanted["metadata"]["annotations"][_EXECUTORS] = str(driver.executors)
        spec = wanted["spec"] = wanted.get("spec") or {}
        transitions = spec.get("leaseTransitions", 0) + (spec.get("holderIdentity") != driver.pod)
        spec |= {
            "holderIdentity": driver.pod,
            "leaseDurationSeconds": DURATION_SECONDS,
            "acquireTime": _now(),
            "renewTime": _now(),
            "leaseTransitions": transitions,
        }
    return wanted


def _handed_over(driver: Driver, newest: Submission) -> str:
    return (
        f"run {driver.run}: the newer submission {newest.job} ({newest.created}) continues it. "
        f"{driver.submission.job} ends, and its commits stay"
    )


class Held:
    """A Lease that this driver holds, renewed until it is released.

    Args:
        cluster: Where it is.
        driver: This one.
        lost: Called once, from another thread, when the driver is to end, with the error it is to end with.
        renew_seconds: How often it is renewed.
        patience_seconds: See `PATIENCE_SECONDS`.
    """

    def __init__(
        self,
        cluster: Cluster,
        driver: Driver,
        lost: Callable[[HepsparkError], None],
        renew_seconds: float = RENEW_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._cluster, self._driver, self._lost = cluster, driver, lost
        self._renew_seconds, self._patience_seconds = renew_seconds, patience_seconds
        self._asked_at: float | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="hepspark-lease", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Let the next driver have it; best effort, since it expires anyway."""
        self._ended.set()
        self._thread.join(timeout=30)
        for _ in range(5):
            try:
                lease = self._cluster.read(KIND, name_of(self._driver.run))
                if lease is None or _held(lease)[0] != self._driver.pod:
                    return
                wanted = copy.deepcopy(lease)
                wanted["spec"] |= {"holderIdentity": "", "renewTime": _now(), "leaseDurationSeconds": 1}
                if _write(self._cluster, lease, wanted):
                    return
            except ApiError:
                return

    def _keep(self) -> None:
        while not self._ended.wait(self._renew_seconds):
            try:
                while not self._renew():  # another one wrote meanwhile: look again
                    pass
            except ApiError:
                continue  # training goes on without the API server; commits tell who is the newest driver

    def _renew(self) -> bool:
        lease = self._cluster.read(KIND, name_of(self._driver.run))
        holder, newer = _held(lease)[0], _newer(self._cluster, lease, self._driver)
        if newer:
            self._ask(HandedOverError(_handed_over(self._driver, newer)))
        elif holder not in ("", self._driver.pod):
            self._ask(
                RunError(
                    f"run {self._driver.run}: {holder} took the run over, because this driver did not renew its Lease "
                    f"for {DURATION_SECONDS} s. This driver ends, and its commits stay"
                )
            )
        if holder not in ("", self._driver.pod):
            self._ended.set()
            return True
        if self._asked_at is not None:
            if time.monotonic() - self._asked_at > self._patience_seconds:
                return True
            wanted = copy.deepcopy(lease or {})
            wanted["spec"]["renewTime"] = _now()
        else:
            renewed = _claimed(lease, self._driver, None, free=True)
            assert renewed  # noqa: S101 (a free Lease is always claimed)
            wanted = renewed
            if lease and holder == self._driver.pod:
                wanted["spec"]["acquireTime"] = lease["spec"]["acquireTime"]
        return _write(self._cluster, lease, wanted)

    def _ask(self, why: HepsparkError) -> None:
        if self._asked_at is None:
            self._asked_at = time.monotonic()
            self._lost(why)


def delete_superseded(cluster: Cluster, driver: Driver, tell: Callable[[str], None]) -> None:
    """Delete the older Jobs of the run, so that their submission can be repeated; best effort."""
    try:
        for job in cluster.objects(JOBS, f"{RUN_LABEL}={driver.run}"):
            older = submission_of(job)
            if older >= driver.submission:
                continue
            options = {"propagationPolicy": "Background", "preconditions": {"uid": older.uid}}
            cluster.request("DELETE", cluster.path(JOBS, older.job), options)
            tell(f"deleted Job {older.job}, which this submission of run {driver.run} replaces")
    except ApiError as error:
        if error.status not in (404, 409):  # somebody else deleted it
            tell(f"older Jobs of run {driver.run} could not be deleted: {error}")


def newest_of(lease: Object | None) -> Submission | None:
    """The newest submission that a Lease knows."""
    noted = ((lease or {}).get("metadata") or {}).get("annotations") or {}
    found = [str(noted.get(f"{_NEWEST}{key}") or "") for key in ("created", "uid", "job")]
    return Submission(*found) if all(found) else None


def _annotate(lease: Object, driver: Driver) -> None:
    newest = driver.submission
    lease["metadata"].setdefault("annotations", {})
    lease["metadata"]["annotations"] |= {
        f"{_NEWEST}created": newest.created,
        f"{_NEWEST}uid": newest.uid,
        f"{_NEWEST}job": newest.job,
    }


def _empty(run: str) -> Object:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name_of(run), "labels": {RUN_LABEL: run}},
    }


def _held(lease: Object | None) -> tuple[str, str]:
    spec = (lease or {}).get("spec") or {}
    return spec.get("holderIdentity") or "", spec.get("renewTime") or ""


def _duration(lease: Object | None) -> float:
    return float(((lease or {}).get("spec") or {}).get("leaseDurationSeconds") or DURATION_SECONDS)


def _executors(lease: Object | None) -> int | None:
    text = (((lease or {}).get("metadata") or {}).get("annotations") or {}).get(_EXECUTORS, "")
    return int(text) if text.isdigit() else None


def _write(cluster: Cluster, before: Object | None, wanted: Object) -> bool:
    """Write what was decided on a Lease; False where it is another one by now."""
    name = wanted["metadata"]["name"]
    try:
        if before is None:
            cluster.request("POST", cluster.path(KIND), wanted)
        else:
            cluster.request("PUT", cluster.path(KIND, name), wanted)
    except ApiError as error:
        if error.status in (404, 409):
            return False
        raise
    return True


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
