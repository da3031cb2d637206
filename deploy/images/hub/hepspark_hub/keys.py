"""Keys of the store for the workspace of a user: temporary ones by STS, or fixed ones out of a Secret."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from hepspark_hub.namespaces import CA_FILE
from hepspark_hub.settings import Settings
from hepspark_hub.workspace import key_of, session_policy

_ANY_ROLE = "arn:aws:iam::000000000000:role/workspace"
"""botocore wants a name; MinIO does not look at it."""
_HAS_NO_STS = "; it seems to have no STS: set workspace.credentials to secret, or name workspace.stsEndpoint"

Source = Callable[[str], dict[str, Any]]
"""Gives the keys of a user, as AWS's `credential_process` wants them."""


class UnavailableError(Exception):
    """There are no keys for a user now."""


def source_of(settings: Settings, folder: Path) -> Source:
    """Where keys come from.

    Args:
        settings: Of the hub.
        folder: With fixed keys, for a store without STS.
    """
    return temporary(settings) if settings.workspace.credentials == "sts" else fixed(folder)


def temporary(settings: Settings) -> Source:
    """Keys by AssumeRole, with a policy for the user's own prefix; the hub's own are in its environment."""
    storage, workspace = settings.storage, settings.workspace
    endpoint = workspace.sts_endpoint or storage.endpoint
    client: Any = botocore.session.get_session().create_client(
        "sts",
        region_name=storage.region,
        endpoint_url=endpoint,
        verify=str(CA_FILE) if storage.ca_config_map else None,
        config=Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 2}),
    )

    def assume(user: str) -> dict[str, Any]:
        try:
            found = client.assume_role(
                RoleArn=workspace.role or _ANY_ROLE,
                RoleSessionName=re.sub(r"[^\w+=,.@-]", "-", f"hub-{user}", flags=re.ASCII)[:64],
                Policy=session_policy(workspace, user),
                DurationSeconds=workspace.minutes * 60,
            )["Credentials"]
        except (ClientError, BotoCoreError, ResponseParserError, ValueError) as error:
            remedy = _HAS_NO_STS if _knows_no_sts(error) else ""
            raise UnavailableError(f"{endpoint} gives no credentials: {error}{remedy}") from error
        keys = {name: found[name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")}
        return {"Version": 1, **keys, "Expiration": found["Expiration"].strftime("%Y-%m-%dT%H:%M:%SZ")}

    return assume


def _knows_no_sts(error: Exception) -> bool:
    """Whether something answered that is not STS."""
    if isinstance(error, ClientError):
        return error.response["ResponseMetadata"]["HTTPStatusCode"] in (404, 405, 501)
    return isinstance(error, ResponseParserError)


def fixed(folder: Path) -> Source:
    """Keys that an operator made for each user.

    Args:
        folder: With a file for each user: access key and secret, apart by a space or line break.
    """

    def read(user: str) -> dict[str, Any]:
        file = folder / key_of(user)
        try:
            access_key, secret_key = file.read_text().split()
        except FileNotFoundError as error:
            raise UnavailableError(f"no keys for {user}: put {file.name} into the Secret of workspaces") from error
        except ValueError as error:
            raise UnavailableError(
                f"{file.name} in the Secret of workspaces is not an access key and its secret"
            ) from error
        return {"Version": 1, "AccessKeyId": access_key, "SecretAccessKey": secret_key}

    return read
