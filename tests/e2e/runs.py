"""Runs on the cluster of a facility: where their data are, what they say, how far they are."""

import base64
import json
import os
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
import yaml

from tests.e2e.facility import REPOSITORY, Ended, Facility
from tests.waiting import Found, until, while_it_goes_on

# Small executors, so that three of them and the driver find room on two hosts of a lab.
SMALL = {"executor": {"memory": "512m", "cpu": "300m"}, "driver": {"memory": "512m", "cpu": "200m"}}
# What shows that pods and Jobs get on; reasons are left out, as those of an image that is missing take turns.
STATES = "custom-columns=NAME:.metadata.name,PHASE:.status.phase,READY:.status.containerStatuses[*].ready"


def told_without_secrets(executor: dict[str, Any]) -> dict[str, str]:
    """All that the pod of an executor is told of its driver, but for what only it and the driver may know."""
    told = {one["name"]: one["value"] for one in executor["spec"]["containers"][0]["env"] if "value" in one}
    return {name: value for name, value in told.items() if name.startswith("SPARK_") and "SECRET" not in name}


@dataclass(frozen=True)
class Platform:
    """The platform of a facility, as an operator with its kubeconfig sees it."""

    facility: Facility

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl prints, in the platform's namespace."""
        return self.facility.kubectl("--namespace", self.facility.namespace, *arguments, stdin=stdin)

    def get(self, *arguments: str) -> Any:
        """Objects of the platform's namespace."""
        return json.loads(self.kubectl("get", *arguments, "--output", "json"))

    def secret(self, name: str) -> dict[str, str]:
        """What a Secret has."""
        return {key: base64.b64decode(value).decode() for key, value in self.get("secret", name)["data"].items()}

    def submit(self, name: str, values: dict[str, Any]) -> Ended:
        """Submit a run as `make submit` does; its results are the manifests."""
        config = self.facility.out / f"{name}.yaml"
        config.write_text(yaml.safe_dump(values))
        return self.facility.run(
            "make", "--silent", "submit", f"CONFIG={config}", f"RUN={name}",
            KUBECONFIG=str(self.facility.kubeconfig), NAMESPACE=self.facility.namespace,
            PATH=f"{self.facility.out}/lab/bin:{os.environ['PATH']}",
        )  # fmt: skip

    def jobs(self, run: str) -> list[dict[str, Any]]:
        """Jobs of a run."""
        return list(self.get("jobs", "--selector", f"hepspark/run={run}")["items"])

    def log(self, run: str, job: dict[str, Any] | None = None) -> str:
        """What the drivers of a run, or of one Job of it, said that are still there."""
        selector = f"hepspark/run={run},spark-role=driver" + (f",job-name={job['metadata']['name']}" if job else "")
        return self.kubectl("logs", "--selector", selector, "--tail", "-1", "--ignore-errors")

    def shown(self, run: str) -> str:
        """All that one can see of a run: its Jobs, its pods, and what its drivers said."""
        objects = self.kubectl("get", "jobs,pods", "--selector", f"hepspark/run={run}", "--output", STATES)
        return f"{objects}{self.log(run)}"

    def wait_for(self, run: str, look: Callable[[], Found], what: str) -> Found:
        """What `look` finds of a run, as soon as it finds something; a run that goes on has all the time it needs."""
        return while_it_goes_on(look, f"{run} {what}", lambda: self.shown(run))

    def wait_for_line(self, run: str, text: str, job: dict[str, Any] | None = None) -> None:
        """Until a run, or one Job of it, has said a text."""
        self.wait_for(run, lambda: text in self.log(run, job), f"says {text!r}")

    def wait_for_end(self, run: str) -> str:
        """`Complete` or `Failed`: how the only Job of a run ended."""

        def look() -> str | None:
            jobs = self.jobs(run)
            ends = [c["type"] for job in jobs for c in job["status"].get("conditions", ()) if c["status"] == "True"]
            over = [end for end in ends if end in ("Complete", "Failed")]
            return over[0] if len(jobs) == len(over) == 1 else None

        return self.wait_for(run, look, "ends") or ""

    def termination_message(self, run: str) -> str:
        """What the last driver of a run left for `kubectl describe`."""
        pods = self.get("pods", "--selector", f"hepspark/run={run},spark-role=driver")["items"]
        last = max(pods, key=lambda pod: pod["metadata"]["creationTimestamp"])
        return str(last["status"]["containerStatuses"][0]["state"]["terminated"]["message"])

    @contextmanager
    def forwarded(self, service: str, port: int) -> Iterator[str]:
        """The address on this machine of a service of the platform."""
        command = self.facility.kubectl_command(
            "--namespace", self.facility.namespace, "port-forward", f"service/{service}", f":{port}"
        )
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            try:
                assert process.stdout
                line = process.stdout.readline()  # "Forwarding from 127.0.0.1:PORT -> ..."
                assert "127.0.0.1:" in line, f"{service} cannot be reached: {line}"
                yield f"http://{line.split()[2]}"
            finally:
                process.terminate()
                process.wait(10)

    def wait_for_history(self, run: str) -> None:
        """Return as soon as the history server shows the finished run."""
        with self.forwarded("spark-history", 18080) as address:

            def look() -> bool:
                with urllib.request.urlopen(f"{address}/api/v1/applications", timeout=10) as answer:
                    shown = json.loads(answer.read())
                return any(app["name"] == run and app["attempts"][0]["completed"] for app in shown)

            until(look, f"the history server shows {run}")

    def credentials(self) -> dict[str, str]:
        """Of the user of runs, as variables."""
        return self.secret("storage")

    def hepspark(self, endpoint: str, *arguments: str) -> Ended:
        """Run hepspark on this machine, with the platform's store."""
        return self.facility.run(
            str(REPOSITORY / ".venv/bin/hepspark"), *arguments, AWS_ENDPOINT_URL=endpoint, **self.credentials()
        )

    def read(self, endpoint: str, bucket: str, key: str) -> bytes:
        """An object of the platform's store."""
        own = self.credentials()
        store = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=own["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=own["AWS_SECRET_ACCESS_KEY"],
        )
        return bytes(store.get_object(Bucket=bucket, Key=key)["Body"].read())
