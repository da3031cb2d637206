"""Asks Spark's history server, which is to answer nobody but its own pod.

    python ask_history.py URL             whether it answers: for the probes of its pod
    python ask_history.py --closed URL    whether it answers nobody else: for `helm test`

Ends with 0 when that is so, 1 otherwise.
"""

import json
import socket
import sys
import urllib.request
from urllib.parse import urlsplit

SECONDS = 5


def version(url: str) -> str:
    """The version of Spark, which is told without a look at the logs, however many there are.

    Raises:
        OSError: nothing answers.
        ValueError: something else does.
    """
    with urllib.request.urlopen(f"{url}/api/v1/version", timeout=SECONDS) as answer:  # noqa: S310 (the chart's address)
        found = json.load(answer)
    if not isinstance(found, dict) or "spark" not in found:
        raise ValueError(f"it answers {found!r}")
    return str(found["spark"])


def is_closed(url: str) -> bool:
    """Whether nobody accepts a connection.

    Raises:
        OSError: there is no such name.
    """
    address = urlsplit(url)
    socket.getaddrinfo(address.hostname, address.port)
    try:
        socket.create_connection((address.hostname, address.port), timeout=SECONDS).close()
    except OSError:
        return True
    return False


def main(arguments: list[str]) -> int:
    """Run the program; its exit code."""
    *options, url = arguments
    try:
        if options == ["--closed"]:
            closed = is_closed(url)
            print(f"{url} {'answers nobody but its own pod' if closed else 'is open to every pod of the cluster'}")
            return 0 if closed else 1
        print(f"history server of Spark {version(url)}")
    except (OSError, ValueError) as error:
        print(f"{url} does not answer as a history server does: {error!r}; see its pod's log", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
