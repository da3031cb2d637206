"""The hub of a facility, as its operator sees it: address, secrets, users' pods, and servers by the hub's API."""

import asyncio
import base64
import json
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hepspark_hub import trial

from tests.e2e.facility import Facility

NAMESPACE, PORT = "hepspark-hub", 30080


@dataclass(frozen=True)
class Hub:
    """The hub, which is there already."""

    facility: Facility
    scheme: str = "http"

    @cached_property
    def address(self) -> str:
        """For browsers."""
        node = json.loads(self.facility.kubectl("get", "node", "cp1", "--output", "json"))
        found = next(each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP")
        return f"{self.scheme}://{found}:{PORT}"

    def secret(self, key: str) -> str:
        """What the hub's Secret has."""
        found = json.loads(self.kubectl("get", "secret", "hub", "--output", "json"))["data"]
        return base64.b64decode(found[key]).decode()

    def kubectl(self, *arguments: str) -> str:
        """What kubectl prints, in the hub's namespace."""
        return self.facility.kubectl("--namespace", NAMESPACE, *arguments)

    def restarted(self) -> None:
        """Start the hub's pod anew; return when it serves."""
        self.kubectl("rollout", "restart", "deployment/jupyterhub-hub")
        self.kubectl("rollout", "status", "deployment/jupyterhub-hub", "--timeout=120s")

    def of_user(self, user: str, *arguments: str) -> str:
        """What kubectl prints, in a user's namespace."""
        return self.facility.kubectl("--namespace", f"{NAMESPACE}-{user}", *arguments)

    def pods(self, user: str, selector: str = "") -> list[dict[str, Any]]:
        """A user's pods."""
        return list(json.loads(self.of_user(user, "get", "pods", "--selector", selector, "--output", "json"))["items"])

    @cached_property
    def client(self) -> trial.Client:
        """The hub's API."""
        return trial.Client(self.address, self.secret("operatorToken"))

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer of the hub's API, or of a server's."""
        return together(self.client.ask(method, path, body))[0]

    def start(self, *users: str, flavor: str) -> None:
        """Start the servers of users, all at once, and wait for them."""
        together(*(trial.start(self.client, user, flavor) for user in users))

    def run(self, *users: str, code: str) -> list[str]:
        """What a cell prints in a new kernel of each user's server, all at once."""
        return together(*(trial.run(self.client, user, code) for user in users))

    def go_on(self, user: str, code: str) -> str:
        """What a cell prints in the only kernel of a user's server."""
        (kernel,) = self.ask("GET", f"/user/{user}/api/kernels")
        return str(together(trial.run(self.client, user, code, kernel["id"]))[0])

    def stop(self, *users: str) -> None:
        """Stop the servers of users, and remove the users."""
        together(*(trial.stop(self.client, user) for user in users))


def together(*steps: Coroutine[Any, Any, Any]) -> list[Any]:
    """The outcomes of steps that are taken at once."""

    async def all_of() -> list[Any]:
        return await asyncio.gather(*steps)

    # A browser that is open has a loop of its own in this thread.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, all_of()).result()
