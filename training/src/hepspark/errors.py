"""The ways a run ends before it is finished, the exit code of each, and what to tell of errors that are not ours."""

import itertools
import re
import traceback
from pathlib import PurePath


class HepsparkError(Exception):
    """A failure that is told in one message, without a stack trace.

    The message names the thing, the place and the remedy.
    """

    exit_code = 1

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows of it."""
        return [f"{type(self).__name__}: {self}"]


class InputError(HepsparkError):
    """What the user gave is wrong: a file, a key, a credential. Nothing was changed."""

    exit_code = 2


class UnreachableError(InputError):
    """A store does not answer: its address is wrong, unless it answered before (`Stop.begun`)."""


class RunError(HepsparkError):
    """The input is right, but the run could not be finished: a full disk, a lost store."""

    exit_code = 1


class TerminatedError(HepsparkError):
    """The process was asked to end, and did so where nothing is lost."""

    exit_code = 143  # what a shell gives for SIGTERM, so that nobody takes the run for finished


class HandedOverError(HepsparkError):
    """A newer submission of the run goes on with it.

    The exit code says "done": there is nothing left to do here, and any other code would make the Job start a pod
    again and again that finds the same.
    """

    exit_code = 0


_TRACE = "Traceback (most recent call last):"
_JAVA = re.compile(r"\s+at |Driver stacktrace:|Caused by: ")
_WORKER_DIED = "Python worker exited unexpectedly"

_OF_EXECUTORS: dict[str, type[HepsparkError]] = {
    kind.__name__: kind for kind in (InputError, UnreachableError, RunError)
}


def told_by_executor(error: Exception) -> HepsparkError | None:
    """The error of ours that work on an executor ended with, out of the stack traces of two languages; None if none."""
    found = re.findall(rf"^hepspark\.errors\.({'|'.join(_OF_EXECUTORS)}): (.+)$", str(error), re.MULTILINE)
    if not found:
        return None
    kind, message = found[-1]
    return _OF_EXECUTORS[kind](message)


def first_line(error: BaseException) -> str:
    """What went wrong, without the stacks of two languages: of a worker's exception its last line and its place."""
    text = str(error)
    if _WORKER_DIED in text:
        return f"{_WORKER_DIED}, usually because memory was full; run fewer tasks at a time, or give more memory"
    if _TRACE in text:
        return _last_of_trace(text)
    causes = re.findall(r"Caused by: ([^\n]+)", text) or re.findall(r"Lost task [^\n]*?\): ([^\n]+)", text)
    if causes:
        return str(causes[-1])
    lines = [line.removeprefix(": ") for line in text.splitlines()]
    # py4j first names its own object.
    told = lines[1:] if lines and lines[0].startswith("An error occurred while calling") else lines
    return told[0] if told else type(error).__name__


def unforeseen(error: Exception, item: object) -> RunError:
    """The error of ours for one that no code of ours raised, in one line; its stack is a note that --debug shows.

    Args:
        error: As it was caught.
        item: What was worked on.
    """
    place = traceback.extract_tb(error.__traceback__)[-1]
    line = _placed("".join(traceback.format_exception_only(error)), place.filename, place.lineno, place.name)
    remedy = "run again; if it fails again, --debug shows the stack"
    if isinstance(error, MemoryError):
        remedy = "run fewer tasks at a time, or give more memory"
    told = RunError(f"{named(item)}: {line}; {remedy}")
    told.add_note("".join(traceback.format_exception(error)))
    return told


def named(item: object) -> str:
    """A piece of work by its URL, if it has one."""
    parts = item if isinstance(item, tuple) else (item,)
    url = getattr(parts[0] if parts else None, "url", None)
    return str(url) if url else " ".join(map(str, parts))


def _last_of_trace(text: str) -> str:
    """The last exception of a text in which Java tells of a Python worker's stack."""
    lines = text.rpartition(f"{_TRACE}\n")[2].splitlines()
    message = list(itertools.takewhile(lambda line: not _JAVA.match(line), lines))
    frames = list(itertools.takewhile(lambda line: line.startswith(" "), message))
    places = [found for line in frames if (found := re.match(r' +File "(.+)", line (\d+), in (.+)', line))]
    told = " ".join(message[len(frames) :])
    return _placed(told, *places[-1].groups()) if places else told


def _placed(message: str, file: str, line: int | str | None, function: str) -> str:
    return f"{' '.join(message.split())} ({PurePath(file).name}:{line}, in {function})"
