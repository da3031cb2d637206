"""Stands in for a user's JupyterLab: a page behind the hub's sign-in, that tells who looks at it and what it was given.

It runs in the hub's environment, started by the hub as the user's server. It ends with its standard input, which is
that of the test session.
"""

import asyncio
import os
import sys
from urllib.parse import urlsplit

from jupyterhub.services.auth import HubOAuth, HubOAuthCallbackHandler, HubOAuthenticated
from tornado.web import Application, RequestHandler, authenticated

PREFIX = os.environ["JUPYTERHUB_SERVICE_PREFIX"]


class Page(HubOAuthenticated, RequestHandler):
    @authenticated
    def get(self):
        self.write(
            {
                "visitor": self.current_user["name"],
                "visitors_token": self.hub_auth.get_token(self),
                "own_token": os.environ["JUPYTERHUB_API_TOKEN"],
            }
        )


async def main():
    # What it keeps of the hub's answers outlives a sign-out; 0 would be for ever.
    HubOAuth.instance(cache_max_age=1)
    pages = [(f"{PREFIX}oauth_callback", HubOAuthCallbackHandler), (f"{PREFIX}.*", Page)]
    address = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    Application(pages, cookie_secret=os.urandom(32)).listen(address.port, address.hostname)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
    await ended.wait()


asyncio.run(main())
