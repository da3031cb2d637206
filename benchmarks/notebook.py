"""Measures notebooks on a lab of its own: `make bench-notebook`. The mirror is filled before."""

import json
import re
import subprocess
import sys
import time
from statistics import median

from benchmarks.facility import Measured, benchmark, succeeded
from tests.e2e.browser import Physicist
from tests.e2e.facility import REPOSITORY, Facility
from tests.e2e.hub import NAMESPACE, Hub
from tests.lab_user import chromium
from tests.waiting import until

USER, TIMES = "admin", 3
SESSION = """
import time
began = time.monotonic()
from hepspark import notebook as hep
hep.session(executors=1)
print(f"ready after {time.monotonic() - began:.2f} s")
"""
TRAINING = """
from statistics import median
from hepspark import notebook as hep
for turn, executors in enumerate((1, 2, 1)):  # the first warms Java up
    hep.scale(executors)
    output = f"{hep.workspace()}/bench/{turn}"
    trained = hep.train(input=[hep.sample()], output=output, epochs=20, batch=4608, early_stopping_epochs=0)
    epochs = [epoch["events_per_second"] for epoch in hep.load_model(trained["model"]).history]
    print(f"speed {median(epochs[len(epochs) // 2:]):.0f}")
"""
"""That of the notebook `HLF classifier`, with one executor and with two."""
SETTLE_SECONDS = 120
"""How long the hub is left alone before its memory is read."""


def start(physicist: Physicist) -> float:
    """Seconds from the button to JupyterLab."""
    page = physicist.page
    page.goto(f"{physicist.hub}/hub/spawn")
    page.get_by_label("Small").check()
    began = time.monotonic()
    page.get_by_role("button", name="Start").click()
    page.get_by_role("menuitem", name="Run", exact=True).wait_for(timeout=120_000)
    return time.monotonic() - began


def bare_pod(facility: Facility, image: str) -> float:
    """Seconds until a pod of the servers' image, made by kubectl, runs an HTTP server that answers."""
    probe = {"httpGet": {"path": "/", "port": 8000}, "periodSeconds": 1}
    container = {"name": "own", "image": image, "args": ["python", "-m", "http.server"], "readinessProbe": probe}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare"}, "spec": {"containers": [container]}}
    facility.kubectl("apply", "--filename", "-", stdin=OPEN)
    began = time.monotonic()
    facility.kubectl("--namespace", "bare", "apply", "--filename", "-", stdin=json.dumps(pod))
    facility.kubectl("--namespace", "bare", "wait", "--for=condition=Ready", "pod/bare", "--timeout=120s")
    seconds = time.monotonic() - began
    facility.kubectl("--namespace", "bare", "delete", "pod", "bare", "--now")
    return seconds


OPEN = """
apiVersion: v1
kind: Namespace
metadata: {name: bare, labels: {pod-security.kubernetes.io/enforce: baseline}}
"""
"""A namespace in which a pod need say nothing about its security."""


def session(text: str) -> float:
    """Seconds that a session says it took."""
    found = re.search(r"ready after ([0-9.]+) s", text)
    if not found:
        raise SystemExit(text)
    return float(found[1])


def local() -> float:
    """The same on this machine, without a cluster."""
    program = [str(REPOSITORY / ".venv/bin/python"), "-c", SESSION]
    return session(subprocess.run(program, capture_output=True, text=True, check=True).stdout)  # noqa: S603


def megabytes(hub: Hub) -> int:
    """Memory of hub and proxy together, as soon as the cluster's metrics have both."""

    def look() -> list[int]:
        told = hub.facility.run(*hub.facility.kubectl_command("--namespace", NAMESPACE, "top", "pods")).results
        found = [int(size) for size in re.findall(r"(\d+)Mi", told)]
        return found if len(found) == 2 else []

    return sum(until(look, "metrics of two pods", 120))


def measure(facility: Facility) -> Measured:
    """Deploy, start servers and sessions, let the hub rest."""
    succeeded(facility.make("deploy"))
    hub = Hub(facility)
    starts, bare, sessions = [], [], []
    with chromium() as browser:
        physicist = Physicist(USER, browser.new_page(), hub.address, facility.out)
        physicist.sign_in(hub.secret("firstPassword"))
        for turn in range(TIMES + 1):  # the first pulls the images
            started = start(physicist)
            ready = session(hub.run(USER, code=SESSION)[0])
            if turn == TIMES:
                _, two, one = map(int, re.findall(r"speed (\d+)", hub.go_on(USER, TRAINING)))
            (server,) = hub.pods(USER, "component=singleuser-server")
            physicist.stop()
            pod = bare_pod(facility, server["spec"]["containers"][0]["image"])
            if turn:
                starts.append(started)
                sessions.append(ready)
                bare.append(pod)
    time.sleep(SETTLE_SECONDS)
    idle, alone = megabytes(hub), local()
    rows = [
        {"what": "Start to JupyterLab", "measured": f"{median(starts):.1f} s", "wanted": "15 s"},
        {
            "what": "over a bare pod of that image",
            "measured": f"{median(starts) / median(bare):.2f}",
            "wanted": "",
        },
        {"what": "session() to a ready executor", "measured": f"{median(sessions):.1f} s", "wanted": "15 s"},
        {"what": "over a local session", "measured": f"{median(sessions) / alone:.2f}", "wanted": ""},
        {"what": "training by two executors over one", "measured": f"{two / one:.2f}", "wanted": ""},
        {"what": "memory of hub and proxy, idle", "measured": f"{idle} MB", "wanted": "300 MB"},
    ]
    return rows, {
        "start": starts,
        "bare": bare,
        "session": sessions,
        "local": alone,
        "memory": idle,
        "events/s": [one, two],
    }


if __name__ == "__main__":
    sys.exit(benchmark("notebooks", measure, __doc__, sys.argv[1:]))
