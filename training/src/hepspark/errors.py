"""The two ways a run ends badly, the exit code of each, and what to tell of errors that are not ours."""

import re


class HepsparkError(Exception):
    """A failure that is told in one message, without a stack trace.

    The message names the thing, the place and the remedy.
    """

    exit_code = 1


class InputError(HepsparkError):
    """What the user gave is wrong: a file, a key, a credential. Nothing was changed."""

    exit_code = 2


class RunError(HepsparkError):
    """The input is right, but the run could not be finished: a full disk, a lost store."""

    exit_code = 1


def told_by_executor(error: Exception) -> HepsparkError | None:
    """The error of ours that work on an executor ended with, out of the stack traces of two languages; None if none."""
    found = re.findall(r"^hepspark\.errors\.(InputError|RunError): (.+)$", str(error), re.MULTILINE)
    if not found:
        return None
    kind, message = found[-1]
    return {"InputError": InputError, "RunError": RunError}[kind](message)


def first_line(error: BaseException) -> str:
    """What went wrong, without the stack of two languages."""
    text = str(error)
    causes = re.findall(r"Caused by: ([^\n]+)", text)
    return str(causes[-1] if causes else text.splitlines()[0] if text else type(error).__name__)
