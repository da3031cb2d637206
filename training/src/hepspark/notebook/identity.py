"""Who the user of a server is, and what the server may do for them; no secrets."""

import getpass
import os
from typing import Any

from hepspark.errors import InputError
from hepspark.notebook.facility import facility
from hepspark.notebook.places import public, workspace
from hepspark.wording import counted

_REMEDY = "stop it and start it again (File, Hub Control Panel)"


def about() -> dict[str, Any]:
    """Who you are, where your data and the public data lie, what opens the store, and which executors you may have.

    Raises:
        InputError: the server gets no credentials.
    """
    place = facility()
    executors = (
        f"at most {place.executors}, each of at most {counted(place.cores, 'core')} and {place.memory} of memory"
        if place and place.executors
        else "none: Spark uses the cores of this machine"
    )
    return {
        "user": os.environ.get("JUPYTERHUB_USER") or getpass.getuser(),
        "workspace": workspace(),
        "public data": public(),
        "store": os.environ.get("AWS_ENDPOINT_URL") or "none",
        "credentials": _credentials(),
        "executors": executors,
    }


def _credentials() -> str:
    """How the store is opened; the first letters of the key tell one from another, and open nothing."""
    if facility() is None:
        return "none needed: your files are on this machine"
    import boto3  # takes half a second to import
    from botocore.exceptions import BotoCoreError

    try:
        found = boto3.Session().get_credentials()
        keys = found and found.get_frozen_credentials()
    except BotoCoreError as error:
        reason = " ".join(str(error).split())  # what the hub's program said, on one line
        raise InputError(f"this server gets no credentials for the store ({reason}); {_REMEDY}") from error
    if not keys:
        raise InputError(f"this server has no credentials for the store; {_REMEDY}")
    kind = "temporary, renewed before they expire" if keys.token else "permanent"
    return f"{kind} (key {str(keys.access_key)[:4]}…)"
