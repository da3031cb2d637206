"""How the deployment's programs end badly: one message, and the exit code that tells whose fault it was."""

import sys
from collections.abc import Callable


class DeployError(Exception):
    """The run could not be finished; the message names the thing, the place and the remedy."""

    exit_code = 1


class InputError(DeployError):
    """What the operator gave is wrong, or the machine lacks something. Nothing was changed."""

    exit_code = 2


def run(app: Callable[[], object], name: str) -> None:
    """Run a command line; a `DeployError` or Ctrl-C ends it with a message instead of a stack trace.

    Args:
        app: The Typer application (or any function without arguments).
        name: What the message begins with.
    """
    try:
        app()
    except DeployError as error:
        sys.stderr.write(f"{name}: {error}\n")
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        sys.stderr.write(f"{name}: interrupted\n")
        raise SystemExit(130) from None
