"""Keys of the store for the workspace of whoever asks: temporary ones by STS, or fixed ones out of a Secret.

A server's own token opens it, and each token of a user that the user made. One that a server received from a visitor
does not: it lacks the scope.
"""

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.exceptions
import botocore.session
from jupyterhub.apihandlers.base import APIHandler
from tornado.web import HTTPError

from hepspark_hub.namespaces import CA_FILE
from hepspark_hub.settings import Settings
from hepspark_hub.workspace import key_of, session_policy

SCOPE = "custom:hepspark:workspace"
PATH = "/api/hepspark/credentials"
KEYS = Path("/etc/hub-keys")
"""A file for each user with fixed keys: access key and secret, apart by a space or line break."""
_ANY_ROLE = "arn:aws:iam::000000000000:role/workspace"
"""botocore wants a name; MinIO does not look at it."""

Source = Callable[[str], dict[str, Any]]
"""Gives the keys of a user, as AWS's `credential_process` wants them."""


class UnavailableError(Exception):
    """There are no keys for a user now."""


def source_of(settings: Settings) -> Source:
    """Where keys come from."""
    return temporary(settings) if settings.workspace.credentials == "sts" else fixed(KEYS)


def temporary(settings: Settings) -> Source:
    """Keys by AssumeRole, with a policy for the user's own prefix; the hub's own are in its environment."""
    storage, workspace = settings.storage, settings.workspace
    client: Any = botocore.session.get_session().create_client(
        "sts",
        region_name=storage.region,
        endpoint_url=workspace.sts_endpoint or storage.endpoint,
        verify=str(CA_FILE) if storage.ca_config_map else None,
    )

    def assume(user: str) -> dict[str, Any]:
        try:
            found = client.assume_role(
                RoleArn=workspace.role or _ANY_ROLE,
                RoleSessionName=re.sub(r"[^\w+=,.@-]", "-", f"hub-{user}", flags=re.ASCII)[:64],
                Policy=session_policy(workspace, user),
                DurationSeconds=workspace.minutes * 60,
            )["Credentials"]
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            raise UnavailableError(f"the store gives no credentials: {error}") from error
        keys = {name: found[name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")}
        return {"Version": 1, **keys, "Expiration": found["Expiration"].strftime("%Y-%m-%dT%H:%M:%SZ")}

    return assume


def fixed(folder: Path) -> Source:
    """Keys that an operator made for each user."""

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


class CredentialsHandler(APIHandler):  # type: ignore[misc] # it ships no type information
    """Answers a server with the keys of its user."""

    def initialize(self, source: Source) -> None:
        """Take where keys come from."""
        self._source = source

    async def get(self) -> None:
        """The keys."""
        # jupyterhub's own decorator knows no scope that is defined later. A browser's cookie is no token.
        if self.get_token() is None or SCOPE not in self.expanded_scopes:
            raise HTTPError(403, "no token of a server, or of its user")
        try:
            keys = await asyncio.get_running_loop().run_in_executor(None, self._source, self.current_user.name)
        except UnavailableError as error:
            self.log.error("%s", error)
            raise HTTPError(503, str(error)) from error
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(keys))
