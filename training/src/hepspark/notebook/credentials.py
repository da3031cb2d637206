"""Asks the hub for the server's keys to the store: the program that `aws.ini` names.

    python -m hepspark.notebook.credentials

prints what the hub answers, as Amazon's libraries expect it of a `credential_process`, which ask again before the keys
expire. Exits with 1 and one line on standard error where there are none. Only what the standard library has is
imported, so that it takes no longer than it must.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping

_PATH = "/hepspark/credentials"
_TIMEOUT = 10.0
_POLL_SECONDS = 1.0
PATIENCE_SECONDS = 60.0
"""A hub that starts again is back by then."""


class NoKeysError(Exception):
    """The hub gives no keys."""


def ask(environment: Mapping[str, str], patience: float = PATIENCE_SECONDS) -> str:
    """What the hub answers: the keys as JSON.

    Args:
        environment: Tells the hub's address and the server's token.
        patience: Seconds to wait for a hub that does not answer.

    Raises:
        NoKeysError: there is no hub, or it refuses.
    """
    address, token = (environment.get(name) for name in ("JUPYTERHUB_API_URL", "JUPYTERHUB_API_TOKEN"))
    if not (address and token):
        raise NoKeysError(
            "JUPYTERHUB_API_URL and JUPYTERHUB_API_TOKEN are not set: only a server of a JupyterHub has its keys from "
            "there; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    end = time.monotonic() + patience
    while True:
        try:
            return _answer(address + _PATH, token)
        except (OSError, ValueError) as error:
            if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                raise NoKeysError(
                    f"{address} refuses the keys of the store ({error.code} {error.reason}): stop this server and "
                    "start it again (File, Hub Control Panel)"
                ) from error
            if time.monotonic() + _POLL_SECONDS > end:
                raise NoKeysError(
                    f"{address} gives no keys to the store: {error}; try again, or ask the operator"
                ) from error
        time.sleep(_POLL_SECONDS)


def _answer(url: str, token: str) -> str:
    request = urllib.request.Request(url, headers={"Authorization": f"token {token}"})  # noqa: S310 (the hub's own)
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:  # noqa: S310
        text: str = response.read().decode()
    if "AccessKeyId" not in json.loads(text):
        raise ValueError("it answers something else")
    return text


def main() -> int:
    """Print the keys."""
    try:
        keys = ask(os.environ)
    except NoKeysError as error:
        sys.stderr.write(f"hepspark.notebook.credentials: {error}\n")
        return 1
    sys.stdout.write(keys)
    return 0


if __name__ == "__main__":
    sys.exit(main())
