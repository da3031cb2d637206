"""Forgets the password of a local account: its user chooses another at the next sign-in.

    python3.11 -m hepspark_hub.forget NAME

To be run in the hub's pod: the page of administrators cannot do it.
"""

import dbm
import sys
from pathlib import Path

from hepspark_hub.places import Places


def forget(passwords: Path, name: str) -> None:
    """Remove a password.

    Args:
        passwords: The file that has them.
        name: Of the user.

    Raises:
        KeyError: there is none.
    """
    with dbm.open(str(passwords), "c", 0o600) as found:
        del found[name.lower().encode()]


def main(arguments: list[str]) -> int:
    """Run the program; its exit code."""
    if len(arguments) != 1:
        print("usage: python -m hepspark_hub.forget NAME", file=sys.stderr)  # noqa: T201
        return 2
    try:
        forget(Places().passwords, arguments[0])
    except KeyError:
        print(f"{arguments[0]} has no password here; the next sign-in chooses one", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
