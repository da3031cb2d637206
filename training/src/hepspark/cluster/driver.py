"""Supervision of a driver in a Job's pod: the run's Lease, its Events, and room for its executors."""

import os
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager

from hepspark.cluster import capacity
from hepspark.cluster.client import ApiError, Cluster, Object, connect
from hepspark.cluster.events import Events
from hepspark.cluster.lease import JOBS, Driver, Held, acquire, delete_superseded, submission_of
from hepspark.config import Config
from hepspark.errors import HandedOverError, HepsparkError, InputError, RunError, TerminatedError
from hepspark.kubernetes_spark import describe
from hepspark.progress import say
from hepspark.supervision import Stop

_NAMES = ("HEPSPARK_RUN", "JOB_NAME", "POD_NAME", "POD_NAMESPACE")


def is_in_job(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process is the driver of a run in a Job.

    Raises:
        InputError: the pod tells only half of it.
    """
    if not environment.get("HEPSPARK_RUN"):
        return False
    lacking = [name for name in _NAMES if not environment.get(name)]
    if lacking:
        raise InputError(f"HEPSPARK_RUN is set, but not {', '.join(lacking)}: set them by the downward API of the pod")
    run = environment["HEPSPARK_RUN"]
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,48}[a-z0-9])?", run):
        raise InputError(f"HEPSPARK_RUN: {run!r} is not a name of a run; use 1 to 50 characters of a-z, 0-9 and -")
    return True


class JobSupervision:
    """See `hepspark.supervision.Supervision`.

    Args:
        stop: Ends the work when somebody asks.
        environment: Tells of the pod and its run.

    Raises:
        RunError: the API server does not give the Job.
    """

    def __init__(self, stop: Stop, environment: Mapping[str, str] = os.environ) -> None:
        self._stop = stop
        stop.begun = True  # a Job is tried again by itself, and its store may just be starting
        self._run, job_name, self._pod, namespace = (environment[name] for name in _NAMES)
        self._cluster = connect(namespace)
        self._job = _read_job(self._cluster, job_name)
        self._events = Events(self._cluster, self._job, self._pod)
        self._held: Held | None = None

    def begin(self, config: Config) -> None:
        """See `Supervision`. What has no room is refused first, so that it ends no driver that has."""
        if self._held:
            return
        if config.spark.on_kubernetes:
            target = Cluster(config.spark.kubernetes.namespace or self._cluster.namespace, self._cluster._api)
            capacity.check(target, config.spark, self._run, self._pod)
        driver = Driver(self._run, self._pod, submission_of(self._job), config.spark.executor.instances)
        before = acquire(self._cluster, driver, self._waiting)
        self._held = Held(self._cluster, driver, self._stop.ask)
        delete_superseded(self._cluster, driver, say)
        self.event("Started", f"{self._pod}: {describe(config.spark)}")
        if before not in (None, driver.executors):
            self.event("Scaled", f"from {before} to {driver.executors} executors")

    def _waiting(self, message: str) -> None:
        say(message)
        self.event("Waiting", message)

    def unbroken(self, work: str) -> AbstractContextManager[None]:
        """See `Supervision`."""
        return self._stop.unbroken(work)

    def stop_if_asked(self) -> None:
        """See `Supervision`."""
        self._stop.stop_if_asked()

    def event(self, reason: str, message: str, *, warning: bool = False) -> None:
        """See `Supervision`."""
        self._events.tell(reason, message, warning=warning)

    def finish(self, error: BaseException | None, result: str) -> None:
        """Tell how the run ended, and let the next driver have it."""
        with self._stop.unbroken("the end of the run"):
            if error is None:
                self.event("Finished", result)
            elif isinstance(error, HandedOverError):
                self.event("HandedOver", str(error))
            elif isinstance(error, TerminatedError):
                self.event("Terminated", str(error), warning=True)
            else:
                told = str(error) if isinstance(error, HepsparkError) else f"{type(error).__name__}: {error}"
                self.event("Failed", told, warning=True)
            if self._held:
                self._held.release()
            self._events.close()


def _read_job(cluster: Cluster, name: str) -> Object:
    try:
        job = cluster.read(JOBS, name)
    except ApiError as error:
        raise RunError(
            f"Job {name} in namespace {cluster.namespace}: {error}; the driver's service account needs the right to "
            "get jobs"
        ) from error
    if job is None:
        raise HandedOverError(f"Job {name} was deleted, so its driver ends")
    return job
