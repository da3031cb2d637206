"""Asks Spark's history server for its version and its runs, for `helm test`.

    python ask_history.py URL

Ends with 0 when it answers as a history server does, 1 otherwise.
"""

import json
import sys
import urllib.request
from typing import Any


def ask(url: str) -> Any:
    """What the server's REST API answers."""
    with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 (the chart gives the address)
        return json.load(answer)


def main(arguments: list[str]) -> int:
    """Run the program; its exit code."""
    (url,) = arguments
    try:
        version = ask(f"{url}/api/v1/version")["spark"]
        runs = [run["id"] for run in ask(f"{url}/api/v1/applications")]
    except (OSError, ValueError, TypeError, KeyError) as error:
        print(f"{url} does not answer as a history server does: {error!r}; see its pod's log", file=sys.stderr)
        return 1
    print(f"history server of Spark {version} shows {len(runs)} runs")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
