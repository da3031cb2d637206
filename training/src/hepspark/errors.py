"""The two ways a run ends badly, and the exit code of each."""


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
