"""The run's Lease against a real API server: who may work on a run, and who ends."""

import threading
import time

import pytest

from hepspark.cluster import lease
from hepspark.cluster.lease import Driver, Held, acquire, delete_superseded, newest_of, submission_of
from hepspark.errors import HandedOverError

WAIT_SECONDS = 60


def driver(job, pod, executors=2):
    return Driver("demo", pod, submission_of(job), executors)


def silent(_):
    pass


def until(condition):
    end = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def holder(namespace):
    found = namespace.admin.read(lease.KIND, "hepspark-run-demo")
    return found and found["spec"].get("holderIdentity")


class Starting(threading.Thread):
    """A driver that waits for its Lease."""

    def __init__(self, namespace, mine):
        super().__init__(daemon=True)
        self.namespace, self.mine, self.told, self.ended = namespace, mine, [], None
        self.start()

    def run(self):
        try:
            self.ended = ("acquired", acquire(self.namespace.driver, self.mine, self.told.append))
        except Exception as error:
            self.ended = ("failed", error)

    def result(self):
        self.join(WAIT_SECONDS)
        return self.ended


@pytest.fixture
def older_and_newer(namespace):
    """Two Jobs; creationTimestamp has whole seconds."""
    first = namespace.job("run-a")
    jobs = [first]
    while jobs[-1]["metadata"]["creationTimestamp"] == first["metadata"]["creationTimestamp"]:
        if len(jobs) > 1:
            namespace.admin.request(
                "DELETE", namespace.admin.path(lease.JOBS, "run-b"), {"propagationPolicy": "Background"}
            )
        jobs.append(namespace.job("run-b"))
        time.sleep(0.2)
    return jobs[0], jobs[-1]


def test_the_newest_submission_takes_over_when_the_older_has_finished_its_step(namespace, older_and_newer):
    older, newer = older_and_newer
    asked = []
    first = driver(older, "pod-a")
    assert acquire(namespace.driver, first, silent) is None
    held = Held(namespace.driver, first, asked.append, renew_seconds=0.2)
    second = Starting(namespace, driver(newer, "pod-b", executors=3))
    until(lambda: asked)
    assert isinstance(asked[0], HandedOverError)
    assert "run-b" in str(asked[0])
    # The step under way takes its time: nobody else starts meanwhile.
    renewed = namespace.admin.read(lease.KIND, "hepspark-run-demo")["spec"]["renewTime"]
    until(lambda: namespace.admin.read(lease.KIND, "hepspark-run-demo")["spec"]["renewTime"] != renewed)
    assert second.ended is None
    assert holder(namespace) == "pod-a"
    assert second.told == ["waiting until driver pod-a of run demo has finished its step"]
    held.release()
    assert second.result() == ("acquired", 2)
    assert len(asked) == 1
    found = namespace.admin.read(lease.KIND, "hepspark-run-demo")
    assert (found["spec"]["holderIdentity"], found["spec"]["leaseTransitions"]) == ("pod-b", 2)


def test_an_older_submission_ends_at_once(namespace, older_and_newer):
    older, newer = older_and_newer
    assert acquire(namespace.driver, driver(newer, "pod-b"), silent) is None
    with pytest.raises(HandedOverError, match=r"newer submission run-b .* continues it\. run-a ends"):
        acquire(namespace.driver, driver(older, "pod-a"), silent)
    assert holder(namespace) == "pod-b"


def test_of_two_that_wait_the_newer_wins(namespace, older_and_newer):
    older, newer = older_and_newer
    very_first = driver(
        {"metadata": {"name": "run-0", "uid": "0", "creationTimestamp": "2020-01-01T00:00:00Z"}}, "pod-0"
    )
    acquire(namespace.driver, very_first, silent)
    held = Held(namespace.driver, very_first, silent, renew_seconds=0.2)
    second = Starting(namespace, driver(older, "pod-a"))
    until(lambda: newest_of(namespace.admin.read(lease.KIND, "hepspark-run-demo")).job == "run-a")
    third = Starting(namespace, driver(newer, "pod-b"))
    kind, error = second.result()
    assert (kind, type(error)) == ("failed", HandedOverError)
    held.release()
    assert third.result()[0] == "acquired"


def test_a_lease_that_nobody_renews_expires(namespace, older_and_newer, monkeypatch):
    monkeypatch.setattr(lease, "DURATION_SECONDS", 2)
    older, newer = older_and_newer
    acquire(namespace.driver, driver(older, "pod-a"), silent)  # and dies
    start = time.monotonic()
    assert acquire(namespace.driver, driver(newer, "pod-b"), silent) == 2
    assert 2 <= time.monotonic() - start < 10
    # The dead one was only paused: it must not renew what is no longer its own.
    asked = []
    back = Held(namespace.driver, driver(older, "pod-a"), asked.append, renew_seconds=0.1)
    until(lambda: asked)
    assert isinstance(asked[0], HandedOverError)
    assert holder(namespace) == "pod-b"
    back.release()
    assert holder(namespace) == "pod-b"


def test_the_next_pod_of_the_same_job_waits_for_the_first(namespace, monkeypatch):
    monkeypatch.setattr(lease, "DURATION_SECONDS", 2)
    job = namespace.job("run-a")
    acquire(namespace.driver, driver(job, "pod-a1"), silent)
    asked = []
    held = Held(namespace.driver, driver(job, "pod-a1"), asked.append, renew_seconds=0.2)
    second = Starting(namespace, driver(job, "pod-a2"))
    until(lambda: second.told)
    until(lambda: namespace.admin.read(lease.KIND, "hepspark-run-demo")["spec"]["leaseTransitions"] == 1)
    assert second.ended is None
    assert asked == []
    held.release()
    assert second.result()[0] == "acquired"


def test_a_pod_that_starts_again_has_its_lease_at_once(namespace):
    job = namespace.job("run-a")
    acquire(namespace.driver, driver(job, "pod-a"), silent)
    start = time.monotonic()
    acquire(namespace.driver, driver(job, "pod-a"), silent)
    assert time.monotonic() - start < 5


def test_many_drivers_at_once_have_one_holder(namespace, monkeypatch):
    monkeypatch.setattr(lease, "DURATION_SECONDS", 60)
    job = namespace.job("run-a")
    drivers = [Starting(namespace, driver(job, f"pod-{n}")) for n in range(8)]
    until(lambda: any(one.ended for one in drivers))
    until(lambda: all(one.ended or one.told for one in drivers))
    assert [one.ended[0] for one in drivers if one.ended] == ["acquired"]
    for _ in drivers:  # each in its turn; the released Lease is free at once
        ended = next(one for one in drivers if one.ended and one.mine.pod == holder(namespace))
        Held(namespace.driver, ended.mine, silent).release()
        drivers.remove(ended)
        if drivers:
            until(lambda: any(one.ended for one in drivers))


def test_a_holder_whose_step_hangs_is_not_waited_for(namespace, older_and_newer, monkeypatch):
    monkeypatch.setattr(lease, "DURATION_SECONDS", 2)
    older, newer = older_and_newer
    acquire(namespace.driver, driver(older, "pod-a"), silent)
    held = Held(namespace.driver, driver(older, "pod-a"), silent, renew_seconds=0.1, patience_seconds=1)
    assert acquire(namespace.driver, driver(newer, "pod-b"), silent) == 2
    held.release()
    assert holder(namespace) == "pod-b"


def test_a_newer_job_that_was_deleted_does_not_count(namespace, older_and_newer):
    older, newer = older_and_newer
    first = driver(older, "pod-a")
    acquire(namespace.driver, first, silent)
    asked = []
    second = driver(newer, "pod-b")
    namespace.admin.request("DELETE", namespace.admin.path(lease.JOBS, "run-b"), {"propagationPolicy": "Background"})
    waiting = Starting(namespace, second)  # its pod has not been ended yet
    until(lambda: waiting.told)
    held = Held(namespace.driver, first, asked.append, renew_seconds=0.1)
    until(lambda: newest_of(namespace.admin.read(lease.KIND, "hepspark-run-demo")).job == "run-a")
    assert asked == []
    held.release()
    acquire(namespace.driver, second, silent)  # else it would wait on, in its thread
    waiting.result()


def test_the_jobs_that_were_replaced_are_deleted(namespace, older_and_newer):
    _, newer = older_and_newer
    other = namespace.job("another", run="another")
    told = []
    delete_superseded(namespace.driver, driver(newer, "pod-b"), told.append)
    assert [job["metadata"]["name"] for job in namespace.admin.objects(lease.JOBS)] == ["another", "run-b"]
    assert told == ["deleted Job run-a, which this submission of run demo replaces"]
    assert other["metadata"]["name"] == "another"
    delete_superseded(namespace.driver, driver(newer, "pod-b"), told.append)
    assert len(told) == 1
