"""A hub and a proxy as processes on loopback, configured by `hepspark_hub`."""

import json
import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.integration.deploy.hub.environment import REPOSITORY, Programs
from tests.integration.middleman import free_port_url
from tests.unit.hub_settings import BASE

START_SECONDS = 60


class Facility:
    """The address that browsers know, and the processes behind it.

    Args:
        folder: With the files of a hub's pod.
        programs: That run.
        form: Whether the hub asks for a flavor, for a cluster that `set_cluster` describes.
    """

    FIRST_WAIT, LONGEST_WAIT = 0.02, 3.0

    def __init__(self, folder: Path, programs: Programs, *, form: bool = False) -> None:
        self.folder, self._programs, self._form = folder, programs, form
        self.configure({}, {})
        self.url, self._hub_url, self._proxy_api = free_port_url(), free_port_url(), free_port_url()
        self._token, self.operator_token = secrets.token_hex(16), secrets.token_hex(16)
        self._hub: subprocess.Popen[bytes] | None = None
        self._stack = ExitStack()
        self.set_secret("cookieSecret", secrets.token_hex(8))
        self.set_secret("clientSecret", "secret-of-the-provider")
        self.set_secret("operatorToken", self.operator_token)
        self.password = "first-password"
        """Of the administrator."""
        self.set_secret("firstPassword", self.password)

    def configure(self, variables: dict[str, str], settings: dict[str, Any]) -> None:
        """Have the hub start with variables in its environment, and settings that differ from those of a small hub."""
        servers = {**BASE["servers"], "idle_minutes": 0}
        self._variables, self.settings = variables, {**BASE, "servers": servers, **settings}

    def set_secret(self, name: str, content: str) -> None:
        (self.folder / "secret").mkdir(exist_ok=True)
        (self.folder / "secret" / name).write_text(content)

    def set_cluster(self, last_choice: dict[str, str], **nodes: dict[str, int]) -> None:
        """Say what the nodes have, in the names of Kubernetes, and what a user has chosen last."""
        (self.folder / "cluster.json").write_text(json.dumps({"last_choice": last_choice, "nodes": nodes}))

    def __enter__(self) -> "Facility":
        # Users' servers outlive the hub that started them, and see by this that the tests are over.
        self._stdin, end = os.pipe()
        self._stack.callback(os.close, end)
        self._stack.callback(os.close, self._stdin)
        self._stack.enter_context(self._proxy())
        self.start_hub()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_hub()
        self._stack.close()

    @contextmanager
    def _proxy(self) -> Iterator[None]:
        def port(url: str) -> str:
            return url.rpartition(":")[2]

        options = ["--ip", "127.0.0.1", "--port", port(self.url), "--api-ip", "127.0.0.1"]
        options += ["--api-port", port(self._proxy_api), "--error-target", f"{self._hub_url}/hub/error"]
        with (self.folder / "proxy.log").open("wb") as log:
            process = subprocess.Popen(
                [*self._programs.proxy, *options],
                env={"PATH": os.environ["PATH"], "CONFIGPROXY_AUTH_TOKEN": self._token},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            yield
        finally:
            end(process)

    def start_hub(self) -> None:
        """Start it, and wait until it answers through the proxy."""
        given = {"folder": str(self.folder), "settings": self.settings, "hub": self._hub_url, "proxy": self._proxy_api}
        given |= {"first_wait": self.FIRST_WAIT, "longest_wait": self.LONGEST_WAIT, "form": self._form}
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONPATH": f"{REPOSITORY / 'deploy/images/hub'}:{REPOSITORY / 'training/src'}",
            "AWS_EC2_METADATA_DISABLED": "true",
            "CONFIGPROXY_AUTH_TOKEN": self._token,
            "HUB_TEST": json.dumps(given),
            **self._variables,
        }
        config = Path(__file__).with_name("hub_config.py")
        with (self.folder / "hub.log").open("ab") as log:
            self._hub = subprocess.Popen(
                [self._programs.python, "-m", "jupyterhub", "--config", config],
                cwd=self.folder,
                env=environment,
                stdin=self._stdin,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        limit = time.monotonic() + START_SECONDS
        while time.monotonic() < limit and self._hub.poll() is None:
            try:
                if requests.get(f"{self.url}/hub/health", timeout=5).ok:
                    return
            except requests.ConnectionError:
                pass
            time.sleep(0.05)
        pytest.fail(f"the hub did not start: {self.log()[-3000:]}", pytrace=False)

    def stop_hub(self) -> None:
        """Stop it; proxy and users' servers go on."""
        if self._hub:
            end(self._hub)

    def log(self) -> str:
        """What the hub wrote."""
        return (self.folder / "hub.log").read_text()


def end(process: "subprocess.Popen[bytes]") -> None:
    """Have a process end."""
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
