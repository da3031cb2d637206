"""A facility under test: a lab of its own, and the commands that an operator would type."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml

from deploy.lab.model import places

REPOSITORY = Path(__file__).parents[2]
NAME = "e2e"
NETWORK = "10.89.78.0/24"
ROOMY = f"--network {NETWORK} --cpus 2 --memory 5g"
"""A lab whose hosts have room for the platform."""


@dataclass(frozen=True)
class Ended:
    """How a command ended; `text` is what it said to the person who typed it."""

    code: int
    results: str
    text: str


@dataclass(frozen=True)
class Facility:
    """`out` is where the deployment leaves kubeconfig and programs."""

    out: Path
    lab: str = f"--network {NETWORK} --cpus 2 --memory 3g"
    platform: bool = False
    """Whether a deployment goes on to the platform, or ends at the ready cluster."""
    namespace: str = "hepspark"
    """The platform's."""

    def environment(self) -> dict[str, str]:
        """An operator's, who types `make` by hand: without what the make that runs the tests hands down."""
        own = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
        return {**own, "HEPSPARK_LAB": NAME, "OUT": str(self.out), "LAB": self.lab}

    def run(self, *command: str, timeout: float = 900, **variables: str) -> Ended:
        """Run a command in the repository; what it says goes into `out`/log.txt too."""
        environment = {**self.environment(), **variables}
        done = subprocess.run(
            command, cwd=REPOSITORY, env=environment, timeout=timeout, check=False, capture_output=True, text=True
        )
        with (self.out / "log.txt").open("a") as log:
            log.write(f"$ {' '.join(command)}\n{done.stdout}{done.stderr}[exit {done.returncode}]\n")
        return Ended(done.returncode, done.stdout, done.stdout + done.stderr)

    def make(self, target: str, *arguments: str, args: str = "", **variables: str) -> Ended:
        """Run a target of the Makefile, with `args` for ansible-playbook."""
        if not self.platform and target in ("deploy", "site", "verify"):
            args = f"{args} --extra-vars platform=false"
        return self.run("make", target, *arguments, *([f"ARGS={args}"] if args else []), **variables)

    def site(self, extra: dict[str, object], *arguments: str) -> Ended:
        """Run the installation with other values of a site's variables."""
        return self.make("site", *arguments, args=f"--extra-vars '{json.dumps(extra)}'")

    def as_existing(self, folder: Path, **site: object) -> Path:
        """An inventory that knows of no hosts, only of the cluster that is there."""
        (folder / "group_vars").mkdir(parents=True, exist_ok=True)
        (folder / "hosts.yml").write_text("all: {}\n")
        lab = yaml.safe_load((REPOSITORY / "deploy/inventories/lab/group_vars/all.yml").read_text())
        reached = {
            "mirror_operator_url": f"https://{NETWORK.replace('0/24', '2')}",
            "mirror_ca_certificate": str(self.kubeconfig.with_name("ca.crt")),
            "kubeconfig": str(self.kubeconfig),
            "cluster_provider": "existing",
        }
        (folder / "group_vars/all.yml").write_text(yaml.safe_dump({**lab, **reached, **site}))
        return folder

    def hosts(self, *arguments: str) -> Ended:
        """Run a command of the lab."""
        return self.run(".venv/bin/python", "-m", "deploy.lab", *arguments)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's, as the deployment left it."""
        return places(NAME).state / "kubeconfig"

    def kubectl_command(self, *arguments: str) -> list[str]:
        """What an operator would type, in full."""
        return [str(self.out / "lab/bin/kubectl"), "--kubeconfig", str(self.kubeconfig), *arguments]

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl prints."""
        command = self.kubectl_command(*arguments)
        done = subprocess.run(command, input=stdin, timeout=300, check=False, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def helm(self, *arguments: str) -> str:
        """What helm prints, in the platform's namespace."""
        program = [self.out / "lab/bin/helm", "--kubeconfig", self.kubeconfig, "--namespace", self.namespace]
        command = [*program, *arguments]
        done = subprocess.run(command, cwd=REPOSITORY, timeout=300, check=False, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def nodes(self) -> set[str]:
        """Names of the nodes that are ready."""
        ready = '{range .items[*]}{.metadata.name} {.status.conditions[?(@.type=="Ready")].status}{"\\n"}{end}'
        lines = self.kubectl("get", "nodes", "--output", f"jsonpath={ready}").splitlines()
        return {line.split()[0] for line in lines if line.endswith(" True")}
