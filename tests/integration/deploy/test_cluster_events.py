"""Events on a run's Job, and a driver's whole life, against a real API server."""

import json
import signal
import threading
import time

import pytest

from hepspark import runner
from hepspark.cluster import lease
from hepspark.cluster.driver import JobSupervision
from hepspark.cluster.events import Events
from hepspark.config import Config
from hepspark.errors import HandedOverError, InputError, RunError, TerminatedError
from hepspark.supervision import stoppable

WAIT_SECONDS = 60


def told(namespace, job="demo-1"):
    events = namespace.admin.objects("events")
    return sorted(
        ((one["reason"], one["type"], one["message"]) for one in events if one["involvedObject"]["name"] == job),
    )


def test_events_are_seen_on_the_job(namespace):
    job = namespace.job("demo-1")
    events = Events(namespace.driver, job, "pod-1")
    events.tell("Started", "2 executors")
    events.tell("Failed", "x" * 3000, warning=True)
    events.close()
    (failed, started) = told(namespace)
    assert started == ("Started", "Normal", "2 executors")
    assert failed == ("Failed", "Warning", "x" * 1024)
    (one, _) = namespace.admin.objects("events")
    assert one["involvedObject"]["uid"] == job["metadata"]["uid"]
    assert one["source"] == {"component": "hepspark", "host": "pod-1"}


def test_epochs_do_not_flood_and_the_last_is_told(namespace):
    events = Events(namespace.driver, namespace.job("demo-1"), "pod-1", interval_seconds=60)
    for number in range(1, 200):
        events.tell("Epoch", f"epoch {number:03d}")
        time.sleep(0.001)
    events.tell("Finished", "AUC")
    events.close()
    found = [message for _, _, message in told(namespace)]
    assert 2 <= len(found) <= 4
    assert found[-2:] == ["epoch 199", "AUC"]


def test_no_event_fails_a_run(namespace, monkeypatch):
    events = Events(namespace.driver, namespace.job("demo-1"), "pod-1")
    gone = type(namespace.driver)("no-such-namespace", namespace.driver._api)
    monkeypatch.setattr(events, "_cluster", gone)
    events.tell("Started", "x")
    events.close()
    assert not events._thread.is_alive()


def environment(namespace, job, pod):
    return {"HEPSPARK_RUN": "demo", "JOB_NAME": job, "POD_NAME": pod, "POD_NAMESPACE": namespace.name}


def test_a_newer_submission_ends_the_work_of_an_older_one_where_it_allows(namespace, monkeypatch):
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.2)
    monkeypatch.setattr(lease.Held.__init__, "__defaults__", (0.2, 300.0))
    namespace.job("demo-1")
    with stoppable() as stop:
        older = JobSupervision(stop, environment(namespace, "demo-1", "pod-1"))
        older.begin(Config())
        while len({job["metadata"]["creationTimestamp"] for job in namespace.admin.objects(lease.JOBS)}) < 2:
            time.sleep(0.2)
            if any(job["metadata"]["name"] == "demo-2" for job in namespace.admin.objects(lease.JOBS)):
                namespace.admin.request(
                    "DELETE", namespace.admin.path(lease.JOBS, "demo-2"), {"propagationPolicy": "Background"}
                )
            namespace.job("demo-2")
        newer_has_it = threading.Event()

        def start_newer():
            with_own_stop = JobSupervision(stop, environment(namespace, "demo-2", "pod-2"))
            with_own_stop.begin(Config(spark={"executor": {"instances": 3}}))
            newer_has_it.set()
            with_own_stop.finish(None, "AUC 0.9")

        newer = threading.Thread(target=start_newer, daemon=True)
        newer.start()
        steps = 0
        with pytest.raises(HandedOverError, match="demo-2") as ended:  # noqa: PT012 (a run's loop)
            while True:
                with older.unbroken("step 1"):
                    time.sleep(0.3)
                    steps += 1
                    assert not newer_has_it.is_set()
                older.stop_if_asked()
                assert steps < 100
        older.finish(ended.value, "")
        newer.join(WAIT_SECONDS)
    assert newer_has_it.is_set()
    assert [reason for reason, _, _ in told(namespace, "demo-1")] == ["HandedOver", "Started"]
    found = told(namespace, "demo-2")
    assert [reason for reason, _, _ in found] == ["Finished", "Scaled", "Started", "Waiting"]
    assert ("Scaled", "Normal", "from 2 to 3 executors") in found
    assert [job["metadata"]["name"] for job in namespace.admin.objects(lease.JOBS)] == ["demo-2"]


@pytest.fixture
def in_job(namespace, monkeypatch, tmp_path):
    namespace.job("demo-1")
    for name, value in environment(namespace, "demo-1", "pod-1").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TERMINATION_LOG", str(tmp_path / "termination-log"))
    return tmp_path / "termination-log"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (InputError("no data"), "Failed"),
        (RunError("a disk is full"), "Failed"),
        (ValueError("what nobody foresaw"), "Failed"),
        (TerminatedError("ended by SIGTERM"), "Terminated"),
    ],
)
def test_how_a_run_ended_is_left_everywhere(namespace, in_job, monkeypatch, error, reason):
    def fail(config, supervision):
        supervision.begin(config)
        raise error

    monkeypatch.setattr("hepspark.steps.train.run", fail)
    with pytest.raises(type(error)):
        runner.run_step("train", None, (), None)
    assert str(error) in in_job.read_text()
    assert (reason, "Warning") in [one[:2] for one in told(namespace)]
    assert not namespace.admin.read(lease.KIND, "hepspark-run-demo")["spec"].get("holderIdentity")


def test_a_run_that_succeeds_leaves_its_figures(namespace, in_job, monkeypatch):
    result = {"auc": {"ttbar": 0.98765}, "accuracy": 0.9}
    monkeypatch.setattr("hepspark.steps.evaluate.run", lambda *_: result)
    assert runner.run_step("evaluate", None, (), None) == json.loads(json.dumps(result))
    assert in_job.read_text() == "AUC ttbar 0.9877; accuracy 0.9000"
    assert told(namespace) == [("Finished", "Normal", "AUC ttbar 0.9877; accuracy 0.9000")]


def test_sigterm_releases_the_lease(namespace, in_job, monkeypatch):
    done = []

    def work(config, supervision):
        supervision.begin(config)
        with supervision.unbroken("step 1"):
            signal.raise_signal(signal.SIGTERM)
            done.append("the step and its commit")
        supervision.stop_if_asked()
        done.append("more")

    monkeypatch.setattr("hepspark.steps.train.run", work)
    with pytest.raises(TerminatedError):
        runner.run_step("train", None, (), None)
    assert done == ["the step and its commit"]
    assert not namespace.admin.read(lease.KIND, "hepspark-run-demo")["spec"].get("holderIdentity")
    assert "the same command continues" in in_job.read_text()
