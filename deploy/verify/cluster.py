"""The connection to a cluster: its API, commands in its pods, waiting for what it does."""

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from kubernetes.stream import stream

from deploy.errors import DeployError, InputError

T = TypeVar("T")
REQUEST_SECONDS = 10
LABEL = "hepspark.io/verify"
# Longer than any run takes: an older namespace was left by one that was killed.
STALE = timedelta(minutes=15)


class Interrupted(Exception):  # noqa: N818 - not an error: the operator wished it
    """The run was stopped while a check was waiting."""


@dataclass(frozen=True)
class Wait:
    """How long to wait for something, and what ends all waiting early."""

    seconds: float
    stop: threading.Event

    def until(self, look: Callable[[], T | None]) -> T | None:
        """Look again and again until something other than None is seen; None when the time is over."""
        end = time.monotonic() + self.seconds
        while True:
            seen = look()
            if seen is not None or time.monotonic() > end:
                return seen
            if self.stop.wait(0.4):
                raise Interrupted


class Cluster:
    """The APIs of a cluster that answers.

    Attributes:
        configuration: Where it is, and who we are.
        kubectl: What a kubectl command for this cluster begins with.
        core: Nodes, pods, services, claims.
        storage: Storage classes.
        discovery: The addresses behind services.
        batch: Jobs and CronJobs.
        coordination: Leases.
        custom: Whatever has no API of its own, as the metrics.
    """

    def __init__(self, configuration: client.Configuration, kubectl: str) -> None:
        self.configuration = configuration
        self.kubectl = kubectl
        api = client.ApiClient(configuration)
        self.core = client.CoreV1Api(api)
        self.storage = client.StorageV1Api(api)
        self.discovery = client.DiscoveryV1Api(api)
        self.batch = client.BatchV1Api(api)
        self.coordination = client.CoordinationV1Api(api)
        self.custom = client.CustomObjectsApi(api)


def connect(kubeconfig: Path, kubectl: str = "kubectl") -> Cluster:
    """Connect to the cluster of a kubeconfig.

    Args:
        kubeconfig: The cluster and its administrator.
        kubectl: The program, for the commands that are shown.

    Raises:
        InputError: The file is no kubeconfig, or its API server does not answer or refuses.
    """
    configuration = client.Configuration()
    try:
        config.load_kube_config(str(kubeconfig), client_configuration=configuration)
    except (ConfigException, ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise InputError(f"{kubeconfig}: not a kubeconfig that can be used: {error}") from error
    configuration.retries = 0
    try:
        client.CoreV1Api(client.ApiClient(configuration)).list_node(limit=1, _request_timeout=REQUEST_SECONDS)
    except ApiException as error:
        raise InputError(
            f"{configuration.host}: the API server refuses the user of {kubeconfig}: {error.status} {error.reason}; "
            "verify needs an administrator's kubeconfig"
        ) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise InputError(
            f"{configuration.host}: the API server of {kubeconfig} does not answer ({_cause(error)}); "
            "check that the control-plane host runs, and that this machine can reach it"
        ) from error
    same = os.environ.get("KUBECONFIG") == str(kubeconfig)
    configuration.retries = 2
    return Cluster(configuration, kubectl if same else f"{kubectl} --kubeconfig {kubeconfig}")


def _cause(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or error
    return str(reason).split(": ", 1)[-1]


@contextmanager
def throw_away_namespace(cluster: Cluster, tell: Callable[[str], None]) -> Iterator[str]:
    """A namespace with a name of its own, under the restricted standard; removed at the end, whatever happens.

    Args:
        cluster: Where to make it.
        tell: Is called with a sentence when something could not be removed.
    """
    core = cluster.core
    _remove_stale(core)
    name = f"verify-{uuid.uuid4().hex[:8]}"
    labels = {LABEL: "true", "pod-security.kubernetes.io/enforce": "restricted"}
    body = typed(client.V1Namespace, {"metadata": {"name": name, "labels": labels}})
    remedy = f"remove it by: {cluster.kubectl} delete namespace {name}"
    try:
        # Inside of the try: an interrupt right after the request must not leave the namespace either.
        core.create_namespace(body, _request_timeout=REQUEST_SECONDS)
        yield name
    finally:
        try:
            delete_namespace(core, name)
            if Wait(45, threading.Event()).until(lambda: _gone(core, name)) is None:
                tell(f"namespace {name} is still being removed{_hindrance(core, name)}")
        except (ApiException, urllib3.exceptions.HTTPError) as error:
            tell(f"namespace {name} could not be removed ({_cause(error)}); {remedy}")
        except KeyboardInterrupt:
            tell(f"namespace {name} may still be there; {remedy}")
            raise


def typed(kind: type[T], manifest: dict[str, Any]) -> T:
    """The object that a manifest, as one would write it in YAML, describes."""
    # The type stubs know the constructors only, not `from_dict`.
    described: T = cast(Any, kind).from_dict(manifest)
    return described


def _remove_stale(core: client.CoreV1Api) -> None:
    for namespace in core.list_namespace(label_selector=f"{LABEL}=true", _request_timeout=REQUEST_SECONDS).items:
        metadata = namespace.metadata
        made = metadata.creation_timestamp if metadata else None
        if metadata and metadata.name and made and datetime.now(UTC) - made > STALE:
            delete_namespace(core, metadata.name)


def delete_namespace(core: client.CoreV1Api, name: str) -> None:
    """Remove a namespace, if it is there; it goes later."""
    try:
        core.delete_namespace(name, _request_timeout=REQUEST_SECONDS)
    except ApiException as error:
        if error.status != 404:
            raise


def _hindrance(core: client.CoreV1Api, name: str) -> str:
    """What the cluster says of a namespace that stays, such as an API of its own that does not answer."""
    status = core.read_namespace(name, _request_timeout=REQUEST_SECONDS).status
    for condition in (status.conditions if status else None) or []:
        if condition.status == "True" and condition.message:
            return f": {condition.message}"
    return ""


def _gone(core: client.CoreV1Api, name: str) -> bool | None:
    try:
        core.read_namespace(name, _request_timeout=REQUEST_SECONDS)
    except ApiException as error:
        if error.status == 404:
            return True
        raise
    return None


def execute(cluster: Cluster, namespace: str, pod: str, command: Sequence[str], wait: Wait) -> str:
    """What a program prints that is run in a pod.

    Raises:
        DeployError: The program could not be run, or did not end in time.
    """
    try:
        # `stream` changes the client that it uses, so each call has its own; and of the socket the types know nothing.
        socket: Any = stream(
            client.CoreV1Api(client.ApiClient(cluster.configuration)).connect_get_namespaced_pod_exec,
            pod,
            namespace,
            command=list(command),
            stdout=True,
            stderr=True,
            stdin=False,
            tty=False,
            _preload_content=False,
            _request_timeout=REQUEST_SECONDS,
        )
    except (ApiException, urllib3.exceptions.HTTPError, OSError) as error:
        raise DeployError(f"no command can be run in pod {pod}: {getattr(error, 'reason', None) or error}") from error
    try:

        def look() -> bool | None:
            socket.update(timeout=0.1)
            return None if socket.is_open() else True

        if wait.until(look) is None:
            raise DeployError(f"a command in pod {pod} did not end within {wait.seconds:.0f} s")
        return str(socket.read_all())
    finally:
        socket.close()


def last_warning(cluster: Cluster, namespace: str, kind: str, name: str) -> str | None:
    """The latest warning that the cluster wrote about an object."""
    events = cluster.core.list_namespaced_event(
        namespace,
        field_selector=f"involvedObject.kind={kind},involvedObject.name={name},type=Warning",
        _request_timeout=REQUEST_SECONDS,
    ).items
    return events[-1].message if events else None
