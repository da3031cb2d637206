"""Ctrl-C and SIGTERM: what has to be finished first is told at once.

It is told from within a signal's handler, which may have come in the middle of a print: so by a plain write, and by no
stream of Python's.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_STANDARD_ERROR = 2
_SAME_PRESS_SECONDS = 0.5
"""A program such as timeout signals a command, and then its whole group."""

_before_the_end: list[str] = []
_first: float | None = None
_tells = False
_is_put_off = False


@contextmanager
def finishing(what: str) -> Iterator[None]:
    """Name what a command that is asked to end does first, or leaves, while the block runs.

    Args:
        what: A short sentence, without its full stop.
    """
    _before_the_end.append(what)
    try:
        yield
    finally:
        _before_the_end.remove(what)


def tell_what_is_finished(asked: str, again: str) -> None:
    """Tell what is done before the end, the innermost first; nothing where that is nothing.

    Args:
        asked: What asked for the end.
        again: What happens when it asks again.
    """
    if _before_the_end:
        tell(f"{asked}: {'; '.join(reversed(_before_the_end))} ({again})")


def tell(message: str) -> None:
    """Write a line for a person at once; safe in the handler of a signal."""
    begin = "\n" if os.isatty(_STANDARD_ERROR) else ""  # the terminal has shown ^C, or a bar is there
    with suppress(OSError):
        os.write(_STANDARD_ERROR, f"{begin}hepspark: {message}\n".encode())


def told_at_once() -> None:
    """Have Ctrl-C tell what is finished first, and a second one end this process; until the process ends.

    Where a parent had Ctrl-C ignored, as a shell does for what it starts in the background, it stays ignored.
    """
    global _tells
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _on_interrupt)
        _tells = True


def put_off() -> None:
    """Tell at once of a Ctrl-C that is handled later; a second one until then ends this process."""
    global _is_put_off
    if _tells:
        _notice()
        _is_put_off = True


def end_at_once(code: int) -> None:
    """End this process without waiting for its threads; Java and processes that simulate end when it is gone."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


def _on_interrupt(_number: int, _frame: FrameType | None) -> None:
    global _is_put_off
    is_first = _is_put_off or _first is None
    if not _is_put_off:
        _notice()
    _is_put_off = False
    if is_first:
        raise KeyboardInterrupt


def _notice() -> None:
    global _first
    now = time.monotonic()
    if _first is None:
        _first = now
        tell_what_is_finished("interrupted", "Ctrl-C again ends at once; nothing that is committed is lost")
    elif now - _first > _SAME_PRESS_SECONDS:
        tell("interrupted again; ended at once")
        os._exit(130)  # what is in streams may be half written
