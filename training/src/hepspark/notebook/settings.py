"""The configuration of a notebook's Spark: what was asked for, checked against itself and what the server may have."""

from collections.abc import Mapping
from glob import glob
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from hepspark.config import Config, checked
from hepspark.errors import InputError
from hepspark.kubernetes_spark import s3a
from hepspark.notebook import template
from hepspark.notebook.facility import Facility, storage
from hepspark.notebook.places import event_logs

MASTER = "k8s://https://kubernetes.default.svc"

_INSTANCES, _CORES, _CORES_MAX = "spark.executor.instances", "spark.executor.cores", "spark.cores.max"
_DYNAMIC = "spark.dynamicAllocation.enabled"
_MEMORY, _DRIVER_MEMORY, _MASTER = "spark.executor.memory", "spark.driver.memory", "spark.master"
_FILES = ("spark.jars", "spark.files", "spark.archives", "spark.submit.pyFiles")
_BYTES = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def configuration(
    place: Facility | None,
    executors: int | None = None,
    cores: int | None = None,
    memory: str | None = None,
    conf: Mapping[str, Any] | None = None,
) -> Config:
    """What is asked for, by arguments or by Spark's own properties, as a configuration.

    Args:
        place: The facility; None on any other machine.
        executors: Their number.
        cores: Of each.
        memory: Heap of each, as "2g".
        conf: Spark's properties; those that say the same as the arguments may take their place.

    Raises:
        InputError: properties contradict each other or the arguments, or are more than this server may have.
    """
    given = {name: _text(value) for name, value in (conf or {}).items()}
    asked = {_INSTANCES: executors, _CORES: cores, _MEMORY: memory}
    for name, value in asked.items():
        if value is not None and given.setdefault(name, str(value)) != str(value):
            raise InputError(
                f"session: {name} is {given[name]} in conf, but {value} in the arguments; give one of them"
            )
    if given.pop(_DYNAMIC, "false").lower() != "false":
        raise InputError(
            f"{_DYNAMIC}: BigDL cannot train on a changing number of executors; leave it out, and call "
            "hepspark.notebook.scale(n) where more or fewer are wanted"
        )
    for name in _FILES:
        if name in given:
            given[name] = ",".join(_file(name, url.strip()) for url in given[name].split(",") if url.strip())
    count = _executors(given, place.cores if place else 1)
    reach = {f"spark.hadoop.fs.s3a.{name}": value for name, value in s3a(storage()).items()}
    if place is None or not place.executors:
        return _on_this_machine(given, place, reach)
    return _on_executors(given, count or 1, place, reach)


def _executors(given: Mapping[str, str], usual_cores: int) -> int | None:
    """Number of executors that the properties ask for; None where they are silent."""
    instances, limit = _number(given, _INSTANCES), _number(given, _CORES_MAX)
    cores = _number(given, _CORES) or usual_cores
    if limit is None:
        return instances
    if instances is None and limit % cores == 0:
        return limit // cores
    wanted = (instances or -(-limit // cores)) * cores
    if limit != wanted:
        raise InputError(
            f"{_CORES_MAX} is {limit}, but {instances or 'a whole number of'} executors ({_INSTANCES}) of {cores} "
            f"cores ({_CORES}) have {wanted}; BigDL takes the number of executors from it: set it to {wanted}, or "
            "leave it out"
        )
    return instances


def _file(name: str, url: str) -> str:
    """A file as Spark reads its name: what is there under a name with # or % is spelled as a URL.

    Raises:
        InputError: it is not there. Spark would start without it, and only its log would tell.
    """
    path = url.partition("#")[0]
    if url.startswith("file://"):
        path = unquote(urlsplit(url).path)
    elif ":" in path:
        return url
    elif set("#%") & set(url) and Path(url).exists():
        return Path(url).absolute().as_uri()
    if not Path(path).exists() and not glob(path):  # noqa: PTH207 (a pattern of any folder, as Spark takes it)
        raise InputError(f"{name}: there is no {path}; correct the path, or leave it out")
    return url


def _on_executors(given: dict[str, str], count: int, place: Facility, reach: Mapping[str, str]) -> Config:
    master = given.pop(_MASTER, MASTER)
    if master != MASTER:
        raise InputError(f"{_MASTER} is {master}, but here Spark's executors are pods of the cluster: leave it out")
    cores, memory = _number(given, _CORES) or place.cores, given.get(_MEMORY) or place.memory
    check_executors(count, place)
    for name, value, most in (
        (_CORES, str(cores), str(place.cores)),
        (_MEMORY, memory, place.memory),
        (_DRIVER_MEMORY, given.get(_DRIVER_MEMORY, place.driver_memory), place.driver_memory),
    ):
        if (int(value) > int(most)) if name == _CORES else (_bytes(name, value) > _bytes(name, most)):
            raise InputError(f"{name}: {value} is more than the limit of this server, {most}; {_LARGER}")
    spark = {
        "master": MASTER,
        "app_name": given.pop("spark.app.name", "notebook"),
        "driver_memory": given.pop(_DRIVER_MEMORY, place.driver_memory),
        "executor": {
            "instances": count,
            "cores": cores,
            "cpu": place.cpu if place.cpu and float(place.cpu) < cores else None,
            "memory": memory,
        },
        "kubernetes": {
            "image": place.image,
            "service_account": place.account,
            "executor_template": str(template.path()),
        },
        "event_log": event_logs(),
    }
    own = {name: value for name, value in given.items() if name not in (_INSTANCES, _CORES, _CORES_MAX, _MEMORY)}
    of_pods = {"spark.kubernetes.container.image.pullPolicy": place.pull_policy}
    return _checked(spark, {**reach, **_pages(place), **of_pods, **own})


def _on_this_machine(given: dict[str, str], place: Facility | None, reach: Mapping[str, str]) -> Config:
    spark = {"master": given.pop(_MASTER, "local[*]"), "app_name": given.pop("spark.app.name", "notebook")}
    if _DRIVER_MEMORY in given or place:
        spark["driver_memory"] = given.pop(_DRIVER_MEMORY, place.driver_memory if place else "")
    if spark["master"].startswith("local"):
        if _MEMORY in given:
            _bytes(_MEMORY, given[_MEMORY])  # there are no executors, but the same notebook is to run on a facility
        given = {name: value for name, value in given.items() if name not in (_INSTANCES, _CORES, _CORES_MAX, _MEMORY)}
    return _checked(spark, {**reach, **_pages(place), **given})


def _pages(place: Facility | None) -> dict[str, str]:
    """Spark's pages, which on a facility reach the browser through the hub: it asks who looks at them."""
    if place is None:
        return {"spark.ui.enabled": "true"}
    return {
        "spark.ui.enabled": "true",
        "spark.ui.proxyBase": f"{place.prefix}sparkui",
        "spark.ui.proxyRedirectUri": "/",
        "spark.ui.port": "4040",
        # All other ports are closed, so that another one would be of no use.
        "spark.port.maxRetries": "0",
    }


_LARGER = "take less, or stop this server and choose a larger one (File, Hub Control Panel)"


def _checked(spark: Mapping[str, Any], conf: Mapping[str, str]) -> Config:
    data = {"storage": storage().model_dump(), "spark": {**spark, "conf": dict(conf)}}
    return checked(data, "session")


def differ_in_number_alone(one: Config, other: Config) -> bool:
    """Whether a Spark of one configuration serves the other, with more or fewer executors."""
    changed = {"spark": one.spark.model_copy(update={"executor": other.spark.executor})}
    same_size = one.spark.executor.model_copy(update={"instances": other.spark.executor.instances})
    return one.model_copy(update=changed) == other and same_size == other.spark.executor


def check_executors(count: int, place: Facility) -> None:
    """Refuse more executors than this server may have.

    Raises:
        InputError: there are more.
    """
    if count > place.executors:
        raise InputError(f"{_INSTANCES}: {count} is more than the limit of this server, {place.executors}; {_LARGER}")


def _number(given: Mapping[str, str], name: str) -> int | None:
    text = given.get(name)
    if text is None:
        return None
    if not text.isdecimal() or not int(text):
        raise InputError(f"{name}: {text!r} is not a whole number above 0")
    return int(text)


def _bytes(name: str, text: str) -> int:
    """An amount of memory as Spark writes it."""
    unit = text[-1:].lower()
    if unit not in _BYTES or not text[:-1].isdecimal():
        raise InputError(f"{name}: {text!r} is no amount of memory; expected one such as 2g or 512m")
    return int(text[:-1]) * _BYTES[unit]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
