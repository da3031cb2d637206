"""Ctrl-C in a command: what is told, and when."""

import signal
import subprocess
import sys
import time

import pytest

PROGRAM = """
import signal, sys, threading
from hepspark.interrupts import finishing, told_at_once
told_at_once()
{before}
released = threading.Event()
def wait():
    while True:
        try:
            print("ready", flush=True)
            released.wait()
        except KeyboardInterrupt:
            print("cleaning", flush=True)
            threading.Event().wait({cleans})
            raise
{work}
"""
IN_TWO = """
with finishing("Spark is stopped first"), finishing("step 2 is committed"):
    wait()
"""


def started(work=IN_TWO, before="", cleans=30, **options):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(work=work, before=before, cleans=cleans)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    return process


def interrupted(process):
    """Send Ctrl-C, and give the line that is told before anything is cleaned up."""
    process.send_signal(signal.SIGINT)
    told = process.stderr.readline()
    assert process.stdout.readline() == "cleaning\n"
    return told


def test_what_is_finished_first_is_told_at_once_and_a_second_time_ends():
    with started() as process:
        told = interrupted(process)
        assert told.startswith("hepspark: interrupted: step 2 is committed; Spark is stopped first (Ctrl-C again ends")
        assert process.poll() is None
        while process.poll() is None:  # a press right after the first is taken for the same
            process.send_signal(signal.SIGINT)
            time.sleep(0.02)
        assert process.communicate() == ("", "hepspark: interrupted again; ended at once\n")
    assert process.returncode == 130


def test_one_press_that_arrives_twice_is_one():
    with started(cleans=1) as process:
        interrupted(process)
        process.send_signal(signal.SIGINT)
        assert "again" not in process.communicate(timeout=10)[1]
    assert process.returncode == -signal.SIGINT


def test_where_nothing_is_finished_nothing_is_told_before():
    with started(work="wait()", cleans=0) as process:
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=10)[1].startswith("Traceback")


def test_what_is_over_is_not_told():
    over = "with finishing('Spark is still starting'):\n    pass\n"
    with started(work=over + IN_TWO, cleans=0) as process:
        assert "starting" not in interrupted(process)
        process.kill()


def test_a_command_that_is_to_ignore_ctrl_c_ignores_it():
    """As what a shell starts in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = started(cleans=0)
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(timeout=1)
        process.kill()


PUT_OFF = """
import time
from hepspark.interrupts import finishing, told_at_once
from hepspark.spark import _to_its_end
told_at_once()
def work():
    print("ready", flush=True)
    end = time.monotonic() + {seconds}
    while time.monotonic() < end:
        time.sleep(0.01)
    print("done", flush=True)
try:
    with finishing("Spark is still starting"):
        _to_its_end(work)
except KeyboardInterrupt:
    print("interrupted", flush=True)
print("went on")
"""


def put_off(seconds):
    process = subprocess.Popen(
        [sys.executable, "-c", PUT_OFF.format(seconds=seconds)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline().startswith("hepspark: interrupted: Spark is still starting (Ctrl-C again ends")
    return process


def test_an_interrupt_of_what_is_not_left_half_done_follows_it_once():
    with put_off(seconds=1.5) as process:  # later than a second press would be taken for the same
        assert process.communicate(timeout=10) == ("done\ninterrupted\nwent on\n", "")
    assert process.returncode == 0


def test_a_second_interrupt_ends_also_what_is_not_left_half_done():
    with put_off(seconds=60) as process:
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            time.sleep(0.02)
        assert process.communicate() == ("", "hepspark: interrupted again; ended at once\n")
    assert process.returncode == 130
