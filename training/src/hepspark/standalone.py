"""Whether a standalone cluster of Spark is there, and has room for executors; its master tells who asks."""

import re
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hepspark.errors import InputError, RunError
from hepspark.wording import counted

if TYPE_CHECKING:
    from pyspark import SparkContext

_REQUEST = "org.apache.spark.deploy.DeployMessages$RequestMasterState$"
_ANSWER = "org.apache.spark.deploy.DeployMessages$MasterStateResponse"
_SCHEME = "spark://"
_CONNECT_SECONDS = 5.0
_CORES, _CORES_MAX, _MEMORY = "spark.executor.cores", "spark.cores.max", "spark.executor.memory"
_AMOUNT = re.compile(r"([1-9][0-9]*)([kmgt])b?", re.IGNORECASE)
_KIBIBYTES = {"k": 1, "m": 1 << 10, "g": 1 << 20, "t": 1 << 30}
_LEAST_MEBIBYTES = 450
"""Spark's own limit of an executor's heap."""


def is_standalone(master: str) -> bool:
    """Whether Spark's master is that of a standalone cluster."""
    return master.startswith(_SCHEME)


def check_properties(conf: Mapping[str, str], *, bigdl: bool) -> int:
    """Refuse properties of executors with which Spark or BigDL would not start.

    Args:
        conf: Spark's properties.
        bigdl: Whether BigDL is wanted, which divides a batch over all cores and thus has to know their number.

    Returns:
        How many executors Spark will ask for; 1 where that depends on the cluster.

    Raises:
        InputError: one is missing or wrong.
    """
    amount = _AMOUNT.fullmatch(conf.get(_MEMORY, "1g"))
    if not amount or int(amount[1]) * _KIBIBYTES[amount[2].lower()] < _LEAST_MEBIBYTES << 10:
        raise InputError(
            f"spark.conf: {_MEMORY} is {conf[_MEMORY]!r}; expected {_LEAST_MEBIBYTES}m or more, such as 2g"
        )
    for name in (_CORES, _CORES_MAX):
        if name in conf and not re.fullmatch("[1-9][0-9]*", conf[name]):
            raise InputError(f"spark.conf: {name} is {conf[name]!r}; expected a whole number from 1")
        if bigdl and name not in conf:
            raise InputError(
                f"spark.conf: {name} is not given; on a standalone cluster, give {_CORES} and {_CORES_MAX}: BigDL "
                "divides each batch over all cores of the executors"
            )
    if not (_CORES in conf and _CORES_MAX in conf):
        return 1
    count, left = divmod(int(conf[_CORES_MAX]), int(conf[_CORES]))
    if not count or (bigdl and left):
        raise InputError(
            f"spark.conf: {_CORES_MAX} is {conf[_CORES_MAX]}; expected a multiple of {_CORES}, which is {conf[_CORES]}"
        )
    return count


def check_master(master: str) -> None:
    """Refuse a cluster that cannot be reached. Spark would try for two minutes, and end for a reason that follows.

    Args:
        master: Spark's master, of a standalone cluster.

    Raises:
        InputError: none of the cluster's masters takes connections.
    """
    problems = []
    for place in master.removeprefix(_SCHEME).split(","):
        host, _, port = place.rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS):
                return
        except (OSError, ValueError, OverflowError) as error:
            problems.append(f"{place}: {getattr(error, 'strerror', None) or error}")
    raise InputError(
        f"spark.master: no master of a Spark cluster answers ({'; '.join(problems)}); start it, or correct spark.master"
    )


def check(context: "SparkContext", executors: int) -> None:
    """Refuse executors that cannot come, even if the cluster does nothing else.

    Args:
        context: A Spark on a standalone cluster.
        executors: How many there are to be.

    Raises:
        InputError: the cluster is too small for them, or Spark may have no more of its cores.
        RunError: the cluster's master does not answer, or has ended this Spark.
    """
    state = _state(context)  # without what is used of it, which a master keeps to itself
    own = [app.desc() for app in state.activeApps() if app.id() == context.applicationId]
    if not own:
        raise RunError(f"the cluster's master ({context.master}) has ended this Spark; start it again")
    cores, memory = int(context._conf.get(_CORES, "1") or 1), int(context._jsc.sc().executorMemory())
    wanted = f"{counted(executors, 'executor')} of {counted(cores, 'core')} and {memory} MiB"
    allowed = own[0].maxCores()
    if allowed.isDefined() and executors * cores > int(allowed.get()):
        raise InputError(
            f"no room for {wanted}: this Spark may have {counted(int(allowed.get()), 'core')} of the cluster "
            f"({_CORES_MAX} when it started); start it again with more, or take fewer"
        )
    workers = [(int(worker.cores()), int(worker.memory())) for worker in state.workers()]
    places = sum(min(worker // cores, mebibytes // memory) for worker, mebibytes in workers)
    if executors > places:
        told = ", ".join(f"{counted(worker, 'core')} and {mebibytes} MiB" for worker, mebibytes in workers)
        raise InputError(
            f"no room for {wanted}: the cluster's workers have {told or 'nothing'}, enough for {places}; take fewer"
        )


def _state(context: "SparkContext") -> Any:
    """What the master knows of its workers and applications."""
    jvm: Any = context._jvm
    environment = context._jsc.sc().env().rpcEnv()
    request = jvm.java.lang.Class.forName(_REQUEST).getField("MODULE$").get(None)
    answer = jvm.scala.reflect.ClassTag.apply(jvm.java.lang.Class.forName(_ANSWER))
    address = jvm.org.apache.spark.rpc.RpcAddress.fromSparkURL(context.master)
    try:
        master = environment.setupEndpointRef(address, "Master")
        return master.askSync(request, answer)
    except Exception as error:  # py4j's, which only the layers below may name
        raise RunError(
            f"the cluster's master ({context.master}) does not answer; start it, or start Spark on another one"
        ) from error
