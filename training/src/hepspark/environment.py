"""The environment of Spark's processes, made from the one that hepspark was started in.

| variables | who decides |
|---|---|
| SPARK_*, PYSPARK_*, HADOOP_*, YARN_*, MESOS_*, BIGDL_*, MASTER, DEPLOY_MODE, CONTAINER_ID, LOCAL_DIRS | hepspark: which Spark, Python and folder of settings is used. They do not reach Spark; `spark.conf` in the configuration gives Spark its properties. |
| SPARK_CONF_DIR on Kubernetes | whoever made the pod: it is passed on. |
| JAVA_HOME | the user, where it holds Java 17; another Java 17 is used where it does not, with a message. |
| LC_ALL, PYTHONHASHSEED | hepspark: C.UTF-8, with which Java opens files of any name, and 0, without which groups of keys do not meet. |
| SPARK_LOCAL_DIRS, SPARK_LOCAL_IP, TMPDIR | the user: they are checked, and named where they are wrong. |
| JDK_JAVA_OPTIONS, JAVA_TOOL_OPTIONS, _JAVA_OPTIONS, LD_LIBRARY_PATH, LD_PRELOAD | the user: passed on, and named where Java does not start with them. |
| SPARK_SUBMIT_OPTS, SPARK_PUBLIC_DNS, SPARK_USER, HADOOP_USER_NAME, AWS_*, proxies, all others | the user: passed on. |
| PYTHONPATH, PYTHONSTARTUP, PYTHONINSPECT, PYTHONOPTIMIZE, PYTHONWARNINGS, MPLBACKEND | hepspark for its commands, which do not read them; the user for a program or notebook that imports hepspark. |
"""  # noqa: E501 (rows of a table)

import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hepspark.errors import InputError

_PREFIXES = ("SPARK_", "_SPARK_", "PYSPARK_", "_PYSPARK_", "HADOOP_", "YARN_", "MESOS_", "BIGDL_")
_NAMES = ("MASTER", "DEPLOY_MODE", "CONTAINER_ID", "LOCAL_DIRS", "BASH_ENV", "CDPATH", "PYTHONSTARTUP", "PYTHONINSPECT")
_PASSED_ON = (
    "SPARK_LOCAL_DIRS",
    "SPARK_LOCAL_IP",
    "SPARK_PUBLIC_DNS",
    "SPARK_SUBMIT_OPTS",
    "SPARK_USER",
    "HADOOP_USER_NAME",
)
_WITH_SETTINGS = ("SPARK_CONF_DIR", "HADOOP_CONF_DIR", "YARN_CONF_DIR", "PYSPARK_SUBMIT_ARGS")
# PySpark writes them while it starts, and reads them at each result.
_READ_LATER = ("SPARK_AUTH_SOCKET_TIMEOUT", "SPARK_BUFFER_SIZE")
_OF_PYTHON = ("PYTHONPATH", "PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONOPTIMIZE", "PYTHONWARNINGS", "MPLBACKEND")
_MOVE = "move or rename that folder"


def for_spark(
    environment: Mapping[str, str], java_home: Path, spark_home: Path, *, on_kubernetes: bool = False
) -> dict[str, str]:
    """The environment in which Java is started, which Python's workers inherit.

    Args:
        environment: That of this process.
        java_home: The Java to use.
        spark_home: The Spark to use.
        on_kubernetes: Whether this is a pod, whose SPARK_CONF_DIR is the facility's.
    """
    passed_on = (*_PASSED_ON, "SPARK_CONF_DIR") if on_kubernetes else _PASSED_ON
    kept = {name: value for name, value in environment.items() if name in passed_on or not _is_decided(name)}
    # Where Spark's pages listen; executors reach the driver at spark.driver.bindAddress.
    return (
        {"SPARK_LOCAL_IP": "127.0.0.1"}
        | kept
        | {
            "JAVA_HOME": str(java_home),
            "SPARK_HOME": str(spark_home),
            "PYSPARK_PYTHON": sys.executable,
            "PYTHONHASHSEED": "0",
            "LC_ALL": "C.UTF-8",
            # The user's own smallest heap is meant for Spark, not for the small Java that puts its command together.
            "SPARK_LAUNCHER_OPTS": "-Xms8m",
        }
    )


def unread(environment: Mapping[str, str]) -> list[str]:
    """Variables that hold settings somebody may expect Spark to have, and that do not reach it."""
    return [name for name in _WITH_SETTINGS if environment.get(name)]


def check(environment: Mapping[str, str], local_dir: str | None = None) -> None:
    """Refuse what is the user's own choice, and wrong.

    Args:
        environment: That of this process.
        local_dir: Spark's property spark.local.dir, if it is given.

    Raises:
        InputError: a folder for temporary files cannot be written to, or an address is not this machine's.
    """
    check_temporary(environment)
    if folders := environment.get("SPARK_LOCAL_DIRS"):
        _check_folders("SPARK_LOCAL_DIRS", folders)
    elif local_dir:
        _check_folders("spark.local.dir", local_dir)
    address = environment.get("SPARK_LOCAL_IP")
    if address is not None and not _is_ours(address):
        raise InputError(
            f"SPARK_LOCAL_IP is {address!r}, which is not an address of this machine; correct it, or "
            "unset it for 127.0.0.1"
        )


def check_temporary(environment: Mapping[str, str]) -> None:
    """Refuse a TMPDIR that cannot be used. Python would take another folder without a word.

    Raises:
        InputError: it is no folder that can be written to.
    """
    folder = environment.get("TMPDIR")
    if folder and not (Path(folder).is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        raise InputError(f"TMPDIR is {folder!r}, which is not a folder that can be written to; correct it, or unset it")


def check_place(name: str, place: Path) -> None:
    """Refuse a path that Java's class path, or Java itself, cannot have.

    Args:
        name: What lies there, for the message.
        place: Its path.

    Raises:
        InputError: there is a colon, a line break or a byte in it that is no UTF-8.
    """
    signs = {":": "a colon", "\n": "a line break", "\r": "a line break"}
    for sign, wrong in signs.items():
        if sign in str(place):
            raise InputError(f"{name} lies in {str(place)!r}, and Java cannot use a path with {wrong}; {_MOVE}")
    check_text(name, place)


def check_text(name: str, place: Path) -> None:
    """Refuse a path that Java cannot open.

    Args:
        name: What lies there, or which variable has it, for the message.
        place: The path.

    Raises:
        InputError: there is a byte in it that is no UTF-8.
    """
    try:
        str(place).encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{name} lies in {str(place)!r}, and Java cannot use a path with a byte that is not UTF-8; {_MOVE}"
        ) from error


@contextmanager
def applied(environment: Mapping[str, str]) -> Iterator[None]:
    """Give an environment to the processes that are started meanwhile; afterwards this process has its own again."""
    before = dict(os.environ)
    _become(environment)
    try:
        yield
    finally:
        _become(before | {name: os.environ[name] for name in _READ_LATER if name in os.environ})


def for_command(environment: Mapping[str, str]) -> dict[str, str] | None:
    """The environment in which Python is to be started again, where it has read what is not meant for hepspark.

    Args:
        environment: That of this process.

    Returns:
        None where nothing is to be left out.
    """
    foreign = [name for name in _OF_PYTHON if environment.get(name)]
    if "PYTHONPATH" in foreign and _is_for_hepspark(environment["PYTHONPATH"]):
        foreign.remove("PYTHONPATH")
    return {name: value for name, value in environment.items() if name not in foreign} if foreign else None


def _is_decided(name: str) -> bool:
    return name.startswith(_PREFIXES) or name in _NAMES


def _check_folders(name: str, folders: str) -> None:
    for folder in folders.split(","):
        place = Path(folder)
        try:
            place.mkdir(parents=True, exist_ok=True)  # as Spark would
        except OSError as error:
            raise InputError(
                f"{name}: {folder!r} cannot be made: {error.strerror}; give a folder that can be written to"
            ) from error
        if not os.access(place, os.W_OK | os.X_OK):
            raise InputError(f"{name}: {folder!r} cannot be written to; give another folder, or correct its mode")


def _is_ours(address: str) -> bool:
    try:
        family, _, _, _, place = socket.getaddrinfo(address, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind(place)
    except OSError:
        return False
    return True


def _become(environment: Mapping[str, str]) -> None:
    for name in set(os.environ) - set(environment):
        del os.environ[name]
    os.environ.update({name: value for name, value in environment.items() if os.environ.get(name) != value})


def _is_for_hepspark(python_path: str) -> bool:
    """Whether a part of hepspark lies in a folder of PYTHONPATH: an image, or sources that are not installed."""
    return any(next(Path(folder).glob("hepspark*"), None) for folder in python_path.split(os.pathsep) if folder)
