"""What is shown of Spark's jobs below a cell."""

import threading
from types import SimpleNamespace

import pytest

from hepspark import progress
from hepspark.notebook import jobs
from hepspark.notebook.jobs import Job, JobProgress

WAIT_SECONDS = 60


@pytest.fixture
def shown(monkeypatch):
    """What a cell shows, one text for each change."""
    texts = []

    def display(data, **_):
        texts.append(data["text/plain"])
        return SimpleNamespace(update=display)

    for module in (progress, jobs):
        monkeypatch.setattr(module, "cell_display", lambda: display)
    monkeypatch.setattr(jobs, "LOOK_SECONDS", 0.001)
    return texts


def looked_at(found, end):
    """Has a thread see these jobs, one at a look, and then none; gives what it showed when it had seen them all."""
    left, seen = [*found], threading.Event()

    def look():
        if left:
            return left.pop(0)
        seen.set()
        return None

    watcher = JobProgress(look, "http://127.0.0.1:4040/jobs/")
    assert seen.wait(WAIT_SECONDS)
    end(watcher)


def succeed(watcher):
    watcher.end(SimpleNamespace(success=True))
    watcher.close()


def fail(watcher):
    watcher.end(SimpleNamespace(success=False))
    watcher.close()


def test_a_job_that_is_over_at_the_second_look_leaves_no_line(shown):
    looked_at([Job(1, 8, 3)], succeed)
    assert shown == []


def test_the_last_line_tells_how_far_a_job_came(shown):
    found = [Job(1, 8, 3), Job(1, 8, 5), Job(2, 4, 1)]
    looked_at(found, succeed)
    assert shown[1:] == [
        "Spark: 5 of 8 tasks, 0 s (job 1; ■ stops it)",
        "Spark: 1 of 4 tasks, 0 s (job 2; ■ stops it)",
        "Spark: 4 of 4 tasks, 0 s",
    ]
    shown.clear()
    looked_at(found, fail)
    assert shown[-1] == "Spark: 1 of 4 tasks, 0 s"


def test_a_step_of_hepspark_shows_its_own_progress_alone(shown, monkeypatch):
    asked, looks = threading.Event(), []

    def is_tracking():
        asked.set()
        return progress.is_tracking()

    monkeypatch.setattr(jobs, "is_tracking", is_tracking)
    with progress.track("Reading", 10):
        watcher = JobProgress(lambda: looks.append(1), "")
        for _ in range(3):
            asked.clear()
            assert asked.wait(WAIT_SECONDS)
        watcher.close()
        assert looks == []
    assert [text.split(",")[0] for text in shown] == ["Reading: 0 of 10 "] * 2


def test_a_spark_that_has_ended_is_looked_at_in_vain(shown):
    asked = threading.Event()

    def look():
        asked.set()
        raise ConnectionError

    watcher = JobProgress(look, "")
    assert asked.wait(WAIT_SECONDS)
    watcher.close()
    assert shown == []
