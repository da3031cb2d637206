"""The `hepspark` command, also by `python -m hepspark`."""

import os
import sys

from hepspark.environment import for_command


def run() -> None:
    """Run the command; Python is started again where it has read variables that are meant for others.

    Other packages that they name would else be imported in place of hepspark's own.
    """
    environment = for_command(os.environ)
    if environment is not None:
        os.execve(sys.executable, [sys.executable, "-P", "-m", "hepspark", *sys.argv[1:]], environment)  # noqa: S606
    # A numpy.py in the working folder is not for Python's workers, which Spark starts there.
    os.environ["PYTHONSAFEPATH"] = "1"
    from hepspark.cli import main
    from hepspark.interrupts import end_at_once, told_at_once

    told_at_once()
    code = main(sys.argv[1:])
    if code in (130, 143):
        end_at_once(code)
    sys.exit(code)


if __name__ == "__main__":
    run()
