"""Measures the platform on a lab of its own: `make bench-cluster`. The mirror is filled before."""

import json
import re
import sys
import time
from datetime import datetime
from pathlib import Path

from benchmarks.deploy import phases
from benchmarks.facility import Measured, benchmark, succeeded
from tests.e2e.facility import REPOSITORY, Facility
from tests.e2e.runs import Platform

SAMPLE = "/usr/local/share/hepspark/sample"
TRAIN = {"epochs": 30, "early_stopping_epochs": 0}
# A core each, and no more, on hosts of two cores.
EXECUTOR = {"cores": 1, "cpu": "900m", "memory": "1g"}


def fit(metrics: bytes) -> float:
    """Events a second of the steps after the first epoch, which compiles what the others use."""
    steps = [record for line in metrics.decode().splitlines() if "step" in (record := json.loads(line))]
    later = [step for step in steps if step["epoch"] > 1]
    return float(sum(step["events"] for step in later) / sum(step["seconds"] for step in later))


def run(platform: Platform, endpoint: str, name: str, executors: int, data: str = SAMPLE) -> dict[str, float]:
    """Train on the cluster; seconds to the first step's commit and of reading, and the speed of the fit."""
    values = platform.facility.out / f"{name}.yaml"
    config = {"train": {"input": [data], **TRAIN}}
    values.write_text(
        json.dumps({"command": "train", "config": config, "executor": {**EXECUTOR, "instances": executors}})
    )
    site = platform.facility.out / "site.yaml"
    site.write_text(platform.get("configmap", "training-values")["data"]["values.yaml"])
    began = time.time()
    platform.facility.helm("install", name, "helm/training", "--values", str(site), "--values", str(values))
    if platform.wait_for_end(name) != "Complete":
        raise SystemExit(platform.log(name))
    selector = f"hepspark/run={name},spark-role=driver"
    log = platform.kubectl("logs", "--selector", selector, "--tail", "-1", "--timestamps")
    read_from, read_to = (at(log, text) for text in ("executors? (?:are|is) there", "Training on"))
    first = at(log, r"Training: |Epoch 1 of")
    metrics = platform.read(endpoint, "runs", f"{name}/run/metrics.jsonl")
    return {"first_step": first - began, "reading": read_to - read_from, "events_per_second": fit(metrics)}


def at(log: str, text: str) -> float:
    """When a log first has a text, in seconds since 1970."""
    line = next((line for line in log.splitlines() if re.search(text, line)), None)
    if line is None:
        raise SystemExit(f"the log has no {text}:\n{log}")
    return datetime.fromisoformat(line.split()[0][:26].rstrip("Z") + "+00:00").timestamp()


def local(out: Path) -> float:
    """The speed of the same fit by `local[2]` on this machine."""
    settings = {"input": [str(REPOSITORY / "tests/data/sample")], "output": str(out / "local"), **TRAIN}
    (out / "local.yaml").write_text(json.dumps({"spark": {"master": "local[2]"}, "train": settings}))
    facility = Facility(out)
    succeeded(facility.run(str(REPOSITORY / ".venv/bin/hepspark"), "train", str(out / "local.yaml")))
    return fit((out / "local/metrics.jsonl").read_bytes())


def measure(facility: Facility) -> Measured:
    """Deploy, install the platform, train."""
    succeeded(facility.make("deploy", args="--extra-vars platform=false"))
    installed = succeeded(facility.make("site")).text
    install = next(float(phase["seconds"]) for phase in phases(installed) if phase["phase"] == "Platform")
    platform = Platform(facility)
    with platform.forwarded("minio", 9000) as endpoint:
        succeeded(platform.hepspark(endpoint, "data", "put", "tests/data/sample", "s3a://data/sample"))
        run(platform, endpoint, "warm", 2)  # every host has the image afterwards
        two = run(platform, endpoint, "two", 2)
        one = run(platform, endpoint, "one", 1)
        remote = run(platform, endpoint, "remote", 2, "s3a://data/sample")
    alone = local(facility.out)
    rows = [
        {"what": "platform on a ready cluster", "measured": f"{install:.0f} s", "wanted": "180 s"},
        {"what": "helm install to the first step", "measured": f"{two['first_step']:.0f} s", "wanted": "45 s"},
        {
            "what": "fit: local[2] over two executors",
            "measured": f"{alone / two['events_per_second']:.2f}",
            "wanted": "1.3",
        },
        {
            "what": "fit: two executors over one",
            "measured": f"{two['events_per_second'] / one['events_per_second']:.2f}",
            "wanted": "",
        },
        {
            "what": "reading the data set: S3 over local disk",
            "measured": f"{remote['reading'] / two['reading']:.2f}",
            "wanted": "",
        },
    ]
    return rows, {"install": install, "two": two, "one": one, "remote": remote, "local": alone}


if __name__ == "__main__":
    sys.exit(benchmark("cluster", measure, __doc__, sys.argv[1:]))
