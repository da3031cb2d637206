"""The page of the hub that gives keys of the store for the workspace of whoever asks.

A server's own token opens it, and each token that a user made with all rights. One that a server received from a
visitor does not: it lacks the scope.
"""

import asyncio
import json

from jupyterhub.apihandlers.base import APIHandler
from tornado.web import HTTPError

from hepspark_hub.keys import Source, UnavailableError

SCOPE = "custom:hepspark:workspace"
PATH = "/api/hepspark/credentials"


class CredentialsHandler(APIHandler):  # type: ignore[misc] # it ships no type information
    """Answers a server with the keys of its user."""

    def initialize(self, source: Source) -> None:
        """Take where keys come from."""
        self._source = source

    async def get(self) -> None:
        """The keys."""
        # jupyterhub's own decorator knows no scope that is defined later. A browser's cookie is no token. A service has
        # no workspace, whatever its name.
        token = self.get_token()
        if token is None or token.user is None or SCOPE not in self.expanded_scopes:
            raise HTTPError(403, "no token of a server, or of its user")
        try:
            keys = await asyncio.get_running_loop().run_in_executor(None, self._source, token.user.name)
        except UnavailableError as error:
            self.log.error("%s", error)
            raise HTTPError(503, str(error)) from error
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(keys))
