"""Measures a deployment on a lab of its own: `make bench-deploy`. The mirror is filled before."""

import json
import os
import re
import subprocess
import sys
import time

from benchmarks.conditions import begin, table

LAB = "bench"
SETTLE_SECONDS = 120
"""How long the cluster is left alone before its memory is read: an idle cluster, not one that has just started."""
# What a host's processes hold, without the page cache that it would give back; control groups version 1, then 2.
MEMORY = (
    "awk '/^total_inactive_file|^inactive_file/ {i=$2} END {getline u < f; printf \"%d\", u-i}'"
    " f=/sys/fs/cgroup/memory/memory.usage_in_bytes /sys/fs/cgroup/memory/memory.stat 2>/dev/null"
    " || awk '/^inactive_file/ {i=$2} END {getline u < f; printf \"%d\", u-i}'"
    " f=/sys/fs/cgroup/memory.current /sys/fs/cgroup/memory.stat"
)


def run(*command: str) -> tuple[str, float]:
    """What a command said, and its seconds."""
    started = time.monotonic()
    environment = {**os.environ, "HEPSPARK_LAB": LAB, "LAB": "--network 10.89.79.0/24"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    text = done.stdout + done.stderr
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{text}")
    return text, time.monotonic() - started


def lab(*arguments: str) -> str:
    """A command of the lab."""
    return run(sys.executable, "-m", "deploy.lab", *arguments)[0]


def phases(text: str) -> list[dict[str, str]]:
    """The phases that a deployment printed, with their seconds."""
    found = re.findall(r"^(\S.*?) {2,}([0-9.]+) s", text, re.MULTILINE)
    return [{"phase": name, "seconds": seconds} for name, seconds in found if name != "total"]


def main(argv: list[str]) -> int:
    """Deploy, deploy again, add a worker, let it rest, read its memory."""
    output, measured_on = begin(__doc__, argv)
    run("make", "mirror")
    lab("down")
    try:
        run("make", "lab")
        # The platform has a benchmark of its own.
        cluster = "ARGS=--extra-vars platform=false"
        first, seconds = run("make", "deploy", cluster)
        unchanged, again = run("make", "deploy", cluster)
        time.sleep(SETTLE_SECONDS)
        memory = {host: int(lab("ssh", host, MEMORY)) / 1e9 for host in ("cp1", "w1", "w2")}
        lab("add", "w3")
        _, added = run("make", "add-node", "NODE=w3")
    finally:
        lab("down")
    if "changed=0" not in unchanged:
        raise SystemExit(f"the second deployment changed something:\n{unchanged}")
    print(table("Deployment", ["phase", "seconds"], phases(first)))
    totals = [
        {"what": "deployment, three hosts", "measured": f"{seconds:.0f} s", "wanted": "180 s"},
        {"what": "again, no change", "measured": f"{again:.0f} s", "wanted": "60 s"},
        {"what": "a worker more", "measured": f"{added:.0f} s", "wanted": "45 s"},
        {"what": "memory, three hosts idle", "measured": f"{sum(memory.values()):.2f} GB", "wanted": "2.5 GB"},
    ]
    print(table("Totals", ["what", "measured", "wanted"], totals))
    output.mkdir(parents=True, exist_ok=True)
    result = {"conditions": measured_on, "phases": phases(first), "totals": totals, "memory_gb": memory}
    (output / "deploy.json").write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
