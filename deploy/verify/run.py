"""All checks on one cluster: side by side as far as they go."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from functools import partial

import urllib3
from kubernetes.client.exceptions import ApiException

from deploy.errors import DeployError
from deploy.verify import checks
from deploy.verify.checks import Agents, Run
from deploy.verify.cluster import Cluster, Wait, throw_away_namespace
from deploy.verify.notebooks import notebooks
from deploy.verify.results import Finding, Result
from deploy.verify.training import training


def verify(
    cluster: Cluster,
    image: str,
    seconds: float,
    tell: Callable[[str], None],
    platform: str | None = None,
    hub: str | None = None,
) -> list[Result]:
    """Run every check; everything made for them is removed again, also when interrupted.

    Args:
        cluster: The cluster to check.
        image: The test image, with its registry.
        seconds: How long each thing is waited for.
        tell: Is called with what a user should know beside the results.
        platform: Namespace of the platform, which is checked too.
        hub: Namespace of JupyterHub, likewise.
    """
    stop = threading.Event()
    with throw_away_namespace(cluster, tell) as namespace, ThreadPoolExecutor(max_workers=8) as pool:
        try:
            return _checked(Run(cluster, namespace, image, Wait(seconds, stop)), pool, platform, hub)
        finally:
            # Nothing to stop, unless this was interrupted: then the threads must end before the namespace goes.
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)


def _checked(run: Run, pool: ThreadPoolExecutor, platform: str | None, hub: str | None) -> list[Result]:
    at_once = {
        "nodes": checks.nodes,
        "system pods": checks.system_pods,
        "metrics": checks.metrics,
        "volume": checks.volume,
    }
    with_agents = {
        "image": checks.image_pull,
        "dns": checks.dns,
        "pod to pod": checks.pod_traffic,
        "service": checks.service,
    }
    running = {name: pool.submit(timed, name, partial(check, run)) for name, check in at_once.items()}
    began = time.monotonic()
    try:
        checks.create_service(run)
        agents = checks.start_agents(run)
    except (ApiException, urllib3.exceptions.HTTPError, OSError) as error:
        agents = Agents(problems={"the API server": checks.told(error).message})
    starting = time.monotonic() - began
    for name, check in with_agents.items():
        # The pull is what the pods' start consists of.
        before = starting if name == "image" else 0.0
        running[name] = pool.submit(timed, name, partial(check, run, agents), before)
    order = ["nodes", "system pods", "image", "dns", "pod to pod", "service", "volume", "metrics"]
    of_platform = {"training": (training, platform), "notebooks": (notebooks, hub)}
    for name, (use, namespace) in of_platform.items():
        if namespace:
            # After the others, whose answers would wait for it on a small cluster.
            wait_for(running.values())
            running[name] = pool.submit(timed, name, partial(use, run.cluster, namespace, run.wait))
            order.append(name)
    return [running[name].result() for name in order]


def timed(name: str, check: Callable[[], Finding], before: float = 0.0) -> Result:
    """The result of a check; one that could not be carried out has failed."""
    began = time.monotonic()
    try:
        finding = check()
    except (ApiException, DeployError, urllib3.exceptions.HTTPError, OSError) as error:
        finding = checks.told(error)
    return Result(name, finding, before + time.monotonic() - began)
