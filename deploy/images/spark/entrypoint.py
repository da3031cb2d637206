#!/usr/bin/python3.11
"""What a container of the Spark image runs, by its first argument.

    executor        an executor of Spark on Kubernetes, described by the environment that Spark gives its pod
    history-server  Spark's history server, configured by $SPARK_CONF_DIR
    python          Python, with the other arguments
    anything else   hepspark, with all arguments

Exits 2 where a variable is missing. PySpark from PyPI brings no such program, and needs no shell here.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

PACKAGES = Path("/usr/local/lib/python3.11/dist-packages")
TRUST_STORE = Path("/tmp/hepspark-trust.p12")  # noqa: S108 (a container's own; nothing else is writable)
EXECUTOR = "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend"
HISTORY_SERVER = "org.apache.spark.deploy.history.HistoryServer"
# What Spark sets in an executor's pod.
EXECUTOR_OPTIONS = {
    "--driver-url": "SPARK_DRIVER_URL",
    "--executor-id": "SPARK_EXECUTOR_ID",
    "--cores": "SPARK_EXECUTOR_CORES",
    "--app-id": "SPARK_APPLICATION_ID",
    "--hostname": "SPARK_EXECUTOR_POD_IP",
    "--resourceProfileId": "SPARK_RESOURCE_PROFILE_ID",
    "--podName": "SPARK_EXECUTOR_POD_NAME",
}


class UnusableError(Exception):
    """What the container was given is not enough to start."""


def command(arguments: list[str], environment: Mapping[str, str]) -> list[str]:
    """The program to run, with its arguments."""
    match arguments:
        case ["executor", *_]:
            return executor(environment)
        case ["history-server", *_]:
            memory = environment.get("SPARK_DAEMON_MEMORY", "1g")
            folder = environment.get("SPARK_CONF_DIR")
            options = ["--properties-file", f"{folder}/spark-defaults.conf"] if folder else []
            return [
                f"{environment['JAVA_HOME']}/bin/java",
                f"-Xmx{memory}",
                *class_path(environment),
                HISTORY_SERVER,
                *options,
            ]
        case ["python", *rest]:
            return ["/usr/bin/python3.11", *rest]
        case _:
            return ["/usr/bin/python3.11", "-m", "hepspark", *arguments]


def executor(environment: Mapping[str, str]) -> list[str]:
    """The backend that Spark's driver waits for."""
    if missing := [name for name in (*EXECUTOR_OPTIONS.values(), "SPARK_EXECUTOR_MEMORY") if name not in environment]:
        raise UnusableError(f"an executor needs {', '.join(missing)}, which Spark's driver sets in its pod")
    numbered = {
        int(match[1]): value
        for name, value in environment.items()
        if (match := re.match(r"SPARK_JAVA_OPT_(\d+)$", name))
    }
    memory = environment["SPARK_EXECUTOR_MEMORY"]
    told = [part for option, name in EXECUTOR_OPTIONS.items() for part in (option, environment[name])]
    heap = [f"-Xms{memory}", f"-Xmx{memory}"]
    options = [numbered[number] for number in sorted(numbered)]
    return [f"{environment['JAVA_HOME']}/bin/java", *options, *heap, *class_path(environment), EXECUTOR, *told]


def class_path(environment: Mapping[str, str]) -> list[str]:
    """All jars of the image, behind a folder of configuration files and what `spark.executor.extraClassPath` names."""
    parts = [environment.get(name) for name in ("SPARK_CONF_DIR", "SPARK_CLASSPATH")]
    return ["-cp", ":".join([*filter(None, parts), f"{PACKAGES}/pyspark/jars/*"])]


def write_trust_store(environment: Mapping[str, str]) -> list[str]:
    """Make a trust store of the authorities in $HEPSPARK_CA_FILE, which Java cannot read as they are.

    Returns:
        The options by which Java takes it.
    """
    TRUST_STORE.unlink(missing_ok=True)  # of this container before it was started again
    text = Path(environment["HEPSPARK_CA_FILE"]).read_text()
    keytool = [f"{environment['JAVA_HOME']}/bin/keytool", "-importcert", "-noprompt", "-storetype", "PKCS12"]
    store = ["-storepass", "changeit", "-keystore", str(TRUST_STORE)]
    for number, certificate in enumerate(re.findall(r"-+BEGIN CERTIFICATE.+?END CERTIFICATE-+", text, re.DOTALL)):
        program = [*keytool, *store, "-alias", f"hepspark-{number}"]
        done = subprocess.run(program, input=certificate, text=True, check=False, capture_output=True)  # noqa: S603
        if done.returncode:
            raise UnusableError(f"{environment['HEPSPARK_CA_FILE']} cannot be trusted: {done.stdout.strip()}")
    return [f"-Djavax.net.ssl.trustStore={TRUST_STORE}", "-Djavax.net.ssl.trustStorePassword=changeit"]


def with_java_options(
    program: list[str], environment: Mapping[str, str], options: list[str]
) -> tuple[list[str], dict[str, str]]:
    """A program and its variables so that Java gets options, whether it is that program or is started by it."""
    if program[0].endswith("/java"):
        return [program[0], *options, *program[1:]], dict(environment)
    # Unlike JAVA_TOOL_OPTIONS it is not told at every start.
    own = " ".join([environment.get("SPARK_SUBMIT_OPTS", ""), *options]).strip()
    return program, {**environment, "SPARK_SUBMIT_OPTS": own}


def main(arguments: list[str], environment: Mapping[str, str]) -> int:
    """Become the program; returns only where that is not possible."""
    try:
        program, variables = command(arguments, environment), dict(environment)
        if environment.get("HEPSPARK_CA_FILE"):
            program, variables = with_java_options(program, environment, write_trust_store(environment))
    except (UnusableError, OSError) as error:
        print(f"entrypoint: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return os.execve(program[0], program, variables)  # noqa: S606


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
