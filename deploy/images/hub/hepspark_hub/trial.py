"""Uses the hub as a user does: starts a server, runs a cell in it, and stops it.

    python -m hepspark_hub.trial NAME [--flavor FLAVOR] [--code CODE]

For `make verify`, which runs it in the hub's pod. The user is made, and removed again; the namespace stays, since the
hub has no right to remove one. Prints a JSON object with the seconds of each step and what the cell printed. Ends with
1 where a step failed, which it names.
"""

import argparse
import asyncio
import json
import sys
import time
import uuid
from contextlib import suppress
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from hepspark_hub.places import Places
from hepspark_hub.settings import FILE, load

START_SECONDS = 300
CELL_SECONDS = 600


class TrialError(Exception):
    """A step failed."""


class Client:
    """The hub and its servers, with the operator's token.

    Args:
        address: Of the proxy.
        token: Of the hub's service `operator`.
    """

    def __init__(self, address: str, token: str) -> None:
        self._address, self._headers = address, {"Authorization": f"token {token}"}

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer to a request, as JSON; None where it is empty.

        Raises:
            TrialError: it is refused, or not answered.
        """
        request = self._request(path, method=method, body=None if body is None else json.dumps(body))
        try:
            answer = await AsyncHTTPClient().fetch(request)
        except HTTPClientError as error:
            said = error.response.body.decode(errors="replace") if error.response and error.response.body else ""
            raise TrialError(f"{method} {path}: {error} {said}".strip()) from error
        except OSError as error:
            raise TrialError(f"{method} {path}: {error}") from error
        return json.loads(answer.body) if answer.body else None

    async def channels(self, path: str) -> Any:
        """The connection to a kernel."""
        return await websocket_connect(self._request(path, scheme="ws"))

    def _request(self, path: str, scheme: str = "http", **options: Any) -> HTTPRequest:
        # The certificate is for the name that browsers use.
        return HTTPRequest(
            scheme + self._address.removeprefix("http") + path,
            headers=self._headers,
            validate_cert=False,
            allow_nonstandard_methods=True,
            request_timeout=60,
            **options,
        )


async def start(client: Client, user: str, flavor: str) -> None:
    """Make a user with a server, and wait until the server answers."""
    await client.ask("POST", f"/hub/api/users/{user}")
    await client.ask("POST", f"/hub/api/users/{user}/server", {"profile": flavor} if flavor else {})
    end = time.monotonic() + START_SECONDS
    while True:
        found = await client.ask("GET", f"/hub/api/users/{user}")
        server = (found["servers"] or {}).get("")
        if server and server["ready"]:
            return
        if not server:
            raise TrialError(f"the server of {user} did not start; see the hub's log")
        if time.monotonic() > end:
            raise TrialError(f"the server of {user} did not start within {START_SECONDS} s")
        await asyncio.sleep(0.25)


async def run(client: Client, user: str, code: str, kernel: str | None = None) -> str:
    """What a cell prints in a kernel of a user's server; in a new one where none is named."""
    kernel = kernel or (await client.ask("POST", f"/user/{user}/api/kernels", {}))["id"]
    connection = await client.channels(f"/user/{user}/api/kernels/{kernel}/channels")
    header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "username": user, "session": uuid.uuid4().hex}
    content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False, "stop_on_error": True}
    message = {"header": header | {"version": "5.3"}, "parent_header": {}, "metadata": {}, "content": content}
    await connection.write_message(json.dumps(message | {"channel": "shell", "buffers": []}))
    printed = ""
    try:
        while text := await connection.read_message():
            told = json.loads(text)
            if told["parent_header"].get("msg_id") != header["msg_id"]:
                continue
            match told["msg_type"]:
                case "stream":
                    printed += told["content"]["text"]
                case "error":
                    raise TrialError(f"{told['content']['ename']}: {told['content']['evalue']}\n{printed}")
                case "status" if told["content"]["execution_state"] == "idle":
                    return printed
    finally:
        connection.close()
    raise TrialError(f"the kernel of {user} is gone")


async def trial(client: Client, user: str, flavor: str, code: str) -> dict[str, Any]:
    """Start a server, run a cell, and stop it; the seconds of each step, and what was printed."""
    seconds: dict[str, float] = {}
    began = time.monotonic()
    try:
        await start(client, user, flavor)
        seconds["start"] = round(time.monotonic() - began, 2)
        began = time.monotonic()
        printed = await asyncio.wait_for(run(client, user, code), CELL_SECONDS)
        seconds["cell"] = round(time.monotonic() - began, 2)
    except (TrialError, TimeoutError) as error:
        with suppress(TrialError):  # what failed first is what is told
            await stop(client, user)
        raise TrialError(str(error) or f"a cell has not ended within {CELL_SECONDS} s") from error
    await stop(client, user)
    return {"user": user, "seconds": seconds, "printed": printed}


async def stop(client: Client, user: str) -> None:
    """Stop a server, and remove its user."""
    await client.ask("DELETE", f"/hub/api/users/{user}/server")
    end = time.monotonic() + START_SECONDS
    while (await client.ask("GET", f"/hub/api/users/{user}"))["servers"]:
        if time.monotonic() > end:
            raise TrialError(f"the server of {user} did not stop within {START_SECONDS} s")
        await asyncio.sleep(0.25)
    await client.ask("DELETE", f"/hub/api/users/{user}")


def main(arguments: list[str]) -> int:
    """Run the program; its exit code."""
    settings = load(FILE)
    parser = argparse.ArgumentParser(prog="trial")
    parser.add_argument("name")
    parser.add_argument("--flavor", default="", help="the hub's proposal if it is left out")
    parser.add_argument("--code", default="print(1 + 1)")
    given = parser.parse_args(arguments)
    client = Client(settings.address, (Places().secret / "operatorToken").read_text().strip())
    try:
        found = asyncio.run(trial(client, given.name, given.flavor, given.code))
    except TrialError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    print(json.dumps(found))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
