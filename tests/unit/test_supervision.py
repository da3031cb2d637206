"""Who ends the work, and where."""

import signal
import threading

import pytest

from hepspark.cluster.client import Cluster
from hepspark.config import Config
from hepspark.errors import HandedOverError, RunError, TerminatedError, UnreachableError
from hepspark.interrupts import finishing
from hepspark.supervision import UNSUPERVISED, stoppable


def test_sigterm_ends_work_that_may_be_broken_off_at_once():
    with stoppable(), pytest.raises(TerminatedError, match="the same command continues"):
        signal.raise_signal(signal.SIGTERM)


def test_sigterm_lets_a_step_finish():
    done = []
    with stoppable() as stop:
        with stop.unbroken("step 2"):
            signal.raise_signal(signal.SIGTERM)
            done.append("step")
        with pytest.raises(TerminatedError):
            stop.stop_if_asked()
    assert done == ["step"]


def test_what_is_finished_first_is_told_at_once(capfd):
    with stoppable() as stop, stop.unbroken("step 3 of 62"):
        signal.raise_signal(signal.SIGTERM)
        told = capfd.readouterr().err
    assert told == "hepspark: asked to end: step 3 of 62 is finished first; a second SIGTERM interrupts it\n"
    with stoppable(), finishing("Spark is stopped first"), pytest.raises(TerminatedError):
        signal.raise_signal(signal.SIGTERM)
    assert capfd.readouterr().err == "hepspark: asked to end: Spark is stopped first (the commits stay)\n"


def test_a_second_sigterm_is_not_kept_waiting():
    with stoppable() as stop, stop.unbroken("step 2"):
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(TerminatedError):
            signal.raise_signal(signal.SIGTERM)


def test_another_thread_ends_the_main_ones_work():
    with stoppable() as stop:
        ask = threading.Timer(0.1, lambda: stop.ask(HandedOverError("to another")))
        ask.start()
        with pytest.raises(HandedOverError, match="to another"):
            threading.Event().wait(30)
        ask.join()


def test_a_request_and_then_sigterm_still_let_the_step_finish():
    with stoppable() as stop:
        with stop.unbroken("step 2"):
            stop.ask(HandedOverError("to another"))
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(HandedOverError):
            stop.stop_if_asked()


def test_the_handlers_of_before_come_back():
    before = signal.getsignal(signal.SIGTERM)
    with stoppable():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_without_supervision_nothing_happens():
    UNSUPERVISED.begin(Config())
    with UNSUPERVISED.unbroken("step 2"):
        UNSUPERVISED.event("Epoch", "1")
    UNSUPERVISED.stop_if_asked()


def test_an_error_that_nobody_asked_for_stays_itself():
    with pytest.raises(ValueError, match="a fault"), stoppable() as stop, stop.explained():
        raise ValueError("a fault")


def test_a_fault_in_a_step_stays_itself_though_the_work_is_to_end():
    def step(stop):
        with stop.explained(), stop.unbroken("step 2"):
            signal.raise_signal(signal.SIGTERM)
            raise ValueError("a fault")

    with stoppable() as stop, pytest.raises(ValueError, match="a fault"):
        step(stop)


def test_a_store_that_is_lost_on_the_way_is_not_the_users_mistake():
    def work(stop):
        with stop.explained():
            raise UnreachableError("s3a://b/k: cannot be reached")

    with stoppable() as stop:
        with pytest.raises(UnreachableError) as before:
            work(stop)
        stop.begin(Config())
        with pytest.raises(RunError, match="cannot be reached; run the same command again") as after:
            work(stop)
    assert (before.value.exit_code, after.value.exit_code) == (2, 1)


def test_a_request_to_the_api_server_can_be_broken_off():
    class Api:
        def param_serialize(self, *_, **__):
            return ()

        def call_api(self, *_, **__):
            signal.raise_signal(signal.SIGTERM)

    with stoppable(), pytest.raises(TerminatedError):
        Cluster("physics", Api()).objects("pods")
