"""The checks: each is one function that looks at the cluster and says what it found."""

import json
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import urllib3
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from deploy.errors import DeployError
from deploy.verify import evaluate, pods
from deploy.verify.cluster import REQUEST_SECONDS, Cluster, Wait, execute, last_warning, typed
from deploy.verify.evaluate import names
from deploy.verify.results import Finding, failed, passed

SYSTEM = "kube-system"
# Ordered pairs of nodes up to here are all tried: ten nodes.
PAIRS = 90


@dataclass(frozen=True)
class Agents:
    """The test pods, one for each node.

    Attributes:
        ready: Node to the address of its pod.
        problems: Node to the reason why its pod does not run.
    """

    ready: Mapping[str, str] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """What every check needs.

    Attributes:
        image: The test image, with its registry.
    """

    cluster: Cluster
    namespace: str
    image: str
    wait: Wait


def nodes(run: Run) -> Finding:
    """Every node is ready and without trouble."""
    found: dict[str, str | None] = {}

    def look() -> bool | None:
        found.clear()
        found.update({_name(node.metadata): evaluate.node_problem(node) for node in _nodes(run)})
        return True if not any(found.values()) else None

    if run.wait.until(look):
        return passed(f"{_count(len(found), 'node')} ready: {names(list(found))}")
    bad = {node: problem for node, problem in found.items() if problem}
    return failed(_told(bad), f"describe node {next(iter(bad))}")


def system_pods(run: Run) -> Finding:
    """Every pod of the system's namespace runs or has ended well."""
    found: dict[str, str | None] = {}

    def look() -> bool | None:
        listed = run.cluster.core.list_namespaced_pod(SYSTEM, _request_timeout=REQUEST_SECONDS).items
        staying = [pod for pod in listed if pod.metadata and not pod.metadata.deletion_timestamp]
        found.clear()
        found.update({_name(pod.metadata): evaluate.pod_problem(pod) for pod in staying})
        return True if found and not any(found.values()) else None

    if run.wait.until(look):
        return passed(f"{_count(len(found), 'pod')} of {SYSTEM} ready")
    if not found:
        return failed(f"{SYSTEM} has no pods", f"--namespace {SYSTEM} get all")
    bad = {pod: problem for pod, problem in found.items() if problem}
    return failed(_told(bad), f"--namespace {SYSTEM} describe pod {next(iter(bad))}")


def metrics(run: Run) -> Finding:
    """The metrics API tells the use of every node."""
    trouble = ["no answer"]

    def look() -> list[str] | None:
        listed = [_name(node.metadata) for node in _nodes(run)]
        try:
            told = run.cluster.custom.list_cluster_custom_object(
                "metrics.k8s.io", "v1beta1", "nodes", _request_timeout=REQUEST_SECONDS
            )
        except ApiException as error:
            trouble[0] = (
                "the cluster has no metrics API: metrics-server is not installed"
                if error.status == 404
                else f"the metrics API does not answer: {error.status} {error.reason}"
            )
            return None
        missing = evaluate.without_metrics(listed, told)
        trouble[0] = f"no metrics of {names(missing)}"
        return None if missing else listed

    listed = run.wait.until(look)
    if listed is None:
        where = "logs deployment/metrics-server" if trouble[0].startswith("no metrics") else "get apiservice"
        target = f"--namespace {SYSTEM} {where}" if where.startswith("logs") else f"{where} v1beta1.metrics.k8s.io"
        return failed(trouble[0], target)
    return passed(f"CPU and memory of {_count(len(listed), 'node')} served")


def start_agents(run: Run) -> Agents:
    """Start a test pod on every node and wait until they answer, or until the time is over."""
    placed = {f"agent-{number}": _name(node.metadata) for number, node in enumerate(_nodes(run))}
    for name, node in placed.items():
        run.cluster.core.create_namespaced_pod(
            run.namespace, typed(client.V1Pod, pods.agent(name, node, run.image)), _request_timeout=REQUEST_SECONDS
        )
    ready: dict[str, str] = {}
    problems: dict[str, str] = {}

    def look() -> bool | None:
        for pod in run.cluster.core.list_namespaced_pod(
            run.namespace, label_selector="app=agent", _request_timeout=REQUEST_SECONDS
        ).items:
            node, problem = placed[_name(pod.metadata)], evaluate.pod_problem(pod)
            if problem:
                problems[node] = problem
            elif pod.status and pod.status.pod_ip:
                ready[node] = pod.status.pod_ip
                problems.pop(node, None)
        return True if len(ready) == len(placed) else None

    if run.wait.until(look) is None:
        pod_of = {node: name for name, node in placed.items()}
        for node in placed.values():
            if node not in ready:
                warning = last_warning(run.cluster, run.namespace, "Pod", pod_of[node])
                problems[node] = warning or problems.get(node, "the test pod did not start")
    return Agents({node: ready[node] for node in placed.values() if node in ready}, problems)


def image_pull(run: Run, agents: Agents) -> Finding:
    """Every node pulled the test image: its pods ask the registry at each start."""
    if agents.problems:
        return failed(
            f"the test pod with {run.image} did not start: {_told(agents.problems)}",
            f"describe node {next(iter(agents.problems))}",
        )
    return passed(f"{run.image} pulled by {_count(len(agents.ready), 'node')}")


def dns(run: Run, agents: Agents) -> Finding:
    """Every node's pods get right answers from the cluster's DNS, and from each of its servers on whatever node."""
    look = "--namespace kube-system get pods --selector k8s-app=kube-dns --output wide"
    if not agents.ready:
        return _untested(agents)
    servers = run.wait.until(lambda: _dns_servers(run) or None)
    if not servers:
        return failed("the cluster's DNS has no server that is ready", look)
    address = _cluster_ip(run, "default", "kubernetes")
    questions = [("service", "kubernetes.default", "", address)]
    questions += [(server, "kubernetes.default", ip, address) for server, ip in servers.items()]
    questions.append(("new-service", f"web.{run.namespace}", "", _cluster_ip(run, run.namespace, "web")))
    script = pods.lookup_script(questions)
    problems = _everywhere(run, agents, lambda _: (script, [question[0] for question in questions]))
    if problems:
        return failed(f"DNS answers wrongly or not at all, {_told(problems)}", look)
    return passed(f"{_count(len(servers), 'server')} answer {_count(len(agents.ready), 'node')} in every combination")


def pod_traffic(run: Run, agents: Agents) -> Finding:
    """Pods reach pods on other nodes, in both directions."""
    look = "--namespace kube-system get pods --output wide"
    if not agents.ready:
        return _untested(agents)
    plan = evaluate.pairs(list(agents.ready), PAIRS)
    if not plan:
        return passed("one node only, so nothing to cross")

    def script(node: str) -> tuple[str, list[str]]:
        return pods.fetch_script({to: f"{agents.ready[to]}:{pods.PORT}" for to in plan[node]}), plan[node]

    problems = _everywhere(run, agents, script)
    if problems:
        return failed(f"pods do not reach pods on other nodes, {_told(problems)}", look)
    count = sum(len(to) for to in plan.values())
    return passed(f"pods reach each other across nodes ({_count(count, 'direction')} tried)")


def service(run: Run, agents: Agents) -> Finding:
    """A ClusterIP service is reached from every node."""
    look = "--namespace kube-system logs daemonset/kube-proxy --tail 20"
    if not agents.ready:
        return _untested(agents)
    script = pods.fetch_script({"service": f"{_cluster_ip(run, run.namespace, 'web')}:80"}, list(agents.ready))
    problems = _everywhere(run, agents, lambda _: (script, ["service"]))
    if problems:
        return failed(f"a service is not reached, {_told(problems)}", look)
    return passed(f"a service is reached from {_count(len(agents.ready), 'node')}")


def create_service(run: Run) -> None:
    """Make the service `web`, with all test pods behind it."""
    spec = {"selector": {"app": "agent"}, "ports": [{"port": 80, "targetPort": pods.PORT}]}
    run.cluster.core.create_namespaced_service(
        run.namespace,
        typed(client.V1Service, {"metadata": {"name": "web"}, "spec": spec}),
        _request_timeout=REQUEST_SECONDS,
    )


def volume(run: Run) -> Finding:
    """A volume of the default class keeps what was written after its pod is gone, and goes with its claim."""
    classes = run.cluster.storage.list_storage_class(_request_timeout=REQUEST_SECONDS).items
    chosen = evaluate.default_class(classes)
    if chosen is None:
        return failed("no storage class is the default, so a claim that names none stays pending", "get storageclass")
    name, token, core = _name(chosen.metadata), uuid.uuid4().hex, run.cluster.core
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}}}
    claim = typed(client.V1PersistentVolumeClaim, {"metadata": {"name": "data"}, "spec": spec})
    core.create_namespaced_persistent_volume_claim(run.namespace, claim, _request_timeout=REQUEST_SECONDS)
    look = f"--namespace {SYSTEM} get pods --output wide"
    problem = _run_once(run, "writer", f"echo {token} >/data/token && sync")[1]
    if problem:
        return failed(f"a volume of class {name} could not be written: {problem}", look)
    read, problem = _run_once(run, "reader", "cat /data/token")
    if problem:
        return failed(f"a volume of class {name} could not be mounted again: {problem}", look)
    if read.strip() != token:
        return failed(f"a volume of class {name} lost what was written: {read.strip()[:80] or 'it is empty'}", look)
    bound = core.read_namespaced_persistent_volume_claim("data", run.namespace, _request_timeout=REQUEST_SECONDS)
    core.delete_namespaced_persistent_volume_claim("data", run.namespace, _request_timeout=REQUEST_SECONDS)
    made = bound.spec.volume_name if bound.spec else None
    if made and chosen.reclaim_policy == "Delete" and not run.wait.until(lambda: _volume_gone(run, made)):
        return failed(f"volume {made} of class {name} stayed after its claim was deleted", f"describe pv {made}")
    return passed(f"a volume of class {name} kept its content from one pod to the next")


def told(error: Exception) -> Finding:
    """The finding of a check that could not be carried out."""
    if isinstance(error, ApiException):
        try:
            reason = json.loads(error.body or "")["message"]
        except (ValueError, KeyError, TypeError):
            reason = f"{error.status} {error.reason}"
        return failed(f"the API server refused: {reason}", "get events --all-namespaces")
    if isinstance(error, urllib3.exceptions.HTTPError | OSError):
        return failed(f"the API server stopped answering: {error}", "get --raw /readyz?verbose")
    return failed(str(error), f"--namespace {SYSTEM} get pods --output wide")


def _nodes(run: Run) -> list[client.V1Node]:
    return run.cluster.core.list_node(_request_timeout=REQUEST_SECONDS).items


def _name(metadata: client.V1ObjectMeta | None) -> str:
    return (metadata.name if metadata else None) or "without a name"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _told(problems: Mapping[str, str | None]) -> str:
    """The problems in one sentence; the first three, as they often have one cause."""
    first = [f"{name}: {problem}" for name, problem in list(problems.items())[:3]]
    more = len(problems) - len(first)
    return "; ".join(first) + (f"; and {more} more" if more else "")


def _untested(agents: Agents) -> Finding:
    node = next(iter(agents.problems), "")
    return failed("not tested, because no test pod started (see image)", f"describe node {node}".strip())


def _everywhere(run: Run, agents: Agents, script_of: Callable[[str], tuple[str, list[str]]]) -> dict[str, str]:
    """Run a script on every node with a test pod, all at once; the problems by `from NODE to TARGET`.

    `script_of` gives a node's script and the targets that the script has to report.
    """
    pod_of = _pods_by_node(run)

    def ask(node: str) -> dict[str, str]:
        script, targets = script_of(node)
        try:
            output = execute(run.cluster, run.namespace, pod_of[node], ("sh", "-c", script), run.wait)
        except DeployError as error:
            return {f"on {node}": str(error)}
        return {f"from {node} to {target}": text for target, text in evaluate.answers(output, targets).items()}

    with ThreadPoolExecutor(max_workers=min(8, len(agents.ready))) as pool:
        problems: dict[str, str] = {}
        for found in pool.map(ask, agents.ready):
            problems |= found
    return problems


def _pods_by_node(run: Run) -> dict[str, str]:
    listed = run.cluster.core.list_namespaced_pod(
        run.namespace, label_selector="app=agent", _request_timeout=REQUEST_SECONDS
    ).items
    return {pod.spec.node_name: _name(pod.metadata) for pod in listed if pod.spec and pod.spec.node_name}


def _cluster_ip(run: Run, namespace: str, name: str) -> str:
    found = run.cluster.core.read_namespaced_service(name, namespace, _request_timeout=REQUEST_SECONDS)
    return (found.spec.cluster_ip if found.spec else None) or "none"


def _dns_servers(run: Run) -> dict[str, str]:
    """Name and address of each ready server behind the cluster's DNS service."""
    slices = run.cluster.discovery.list_namespaced_endpoint_slice(
        SYSTEM, label_selector="k8s-app=kube-dns", _request_timeout=REQUEST_SECONDS
    ).items
    found: dict[str, str] = {}
    for part in slices:
        for endpoint in part.endpoints or []:
            if endpoint.conditions and endpoint.conditions.ready and endpoint.addresses:
                target = endpoint.target_ref.name if endpoint.target_ref else None
                found[target or endpoint.addresses[0]] = endpoint.addresses[0]
    return found


def _run_once(run: Run, name: str, script: str) -> tuple[str, str | None]:
    """What a pod with the volume printed, and what went wrong; the pod is gone afterwards."""
    core = run.cluster.core
    manifest = pods.with_volume(name, "data", script, run.image)
    core.create_namespaced_pod(run.namespace, typed(client.V1Pod, manifest), _request_timeout=REQUEST_SECONDS)

    def look() -> client.V1Pod | None:
        pod = core.read_namespaced_pod(name, run.namespace, _request_timeout=REQUEST_SECONDS)
        return pod if pod.status and pod.status.phase in ("Succeeded", "Failed") else None

    pod = run.wait.until(look)
    if pod is None:
        pending = core.read_namespaced_pod(name, run.namespace, _request_timeout=REQUEST_SECONDS)
        claim = last_warning(run.cluster, run.namespace, "PersistentVolumeClaim", "data")
        return "", claim or last_warning(run.cluster, run.namespace, "Pod", name) or evaluate.pod_problem(pending)
    problem = evaluate.pod_problem(pod)
    output = core.read_namespaced_pod_log(name, run.namespace, _request_timeout=REQUEST_SECONDS)
    core.delete_namespaced_pod(name, run.namespace, _request_timeout=REQUEST_SECONDS)
    if run.wait.until(lambda: _pod_gone(run, name)) is None:
        return output, f"pod {name} was not removed"
    return output, f"{problem}: {output.strip()[-200:]}" if problem else None


def _pod_gone(run: Run, name: str) -> bool | None:
    try:
        run.cluster.core.read_namespaced_pod(name, run.namespace, _request_timeout=REQUEST_SECONDS)
    except ApiException as error:
        if error.status == 404:
            return True
        raise
    return None


def _volume_gone(run: Run, name: str) -> bool | None:
    try:
        run.cluster.core.read_persistent_volume(name, _request_timeout=REQUEST_SECONDS)
    except ApiException as error:
        if error.status == 404:
            return True
        raise
    return None
