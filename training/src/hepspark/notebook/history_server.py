"""Spark's history server for what one user ran: `python -m hepspark.notebook.history_server PORT`.

JupyterLab starts it when somebody looks. It reads the user's own event logs, with the user's own keys, and listens on
loopback alone: who comes to it has been let in by the hub.
"""

import os
import shlex
import sys
from collections.abc import Mapping

from hepspark.errors import HepsparkError
from hepspark.java import java_home
from hepspark.kubernetes_spark import s3a, s3a_url
from hepspark.notebook.facility import storage
from hepspark.notebook.places import event_logs
from hepspark.session import make_event_log
from hepspark.spark import spark_class_path

_SERVER = "org.apache.spark.deploy.history.HistoryServer"
# It shares the memory of the server with notebooks.
_JAVA = ("-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


def command(port: int, environment: Mapping[str, str]) -> list[str]:
    """The program, with its settings.

    Args:
        port: It listens there.
        environment: Of a user's server.
    """
    settings = {
        "spark.history.fs.logDirectory": s3a_url(event_logs()),
        "spark.history.fs.update.interval": "5s",
        "spark.history.fs.cleaner.enabled": "true",
        "spark.history.fs.cleaner.maxAge": "30d",
        "spark.history.ui.port": str(port),
        "spark.ui.proxyBase": f"{environment.get('JUPYTERHUB_SERVICE_PREFIX', '/')}sparkhistory",
        "spark.ui.proxyRedirectUri": "/",
        **{f"spark.hadoop.fs.s3a.{name}": value for name, value in s3a(storage()).items()},
    }
    options = [f"-D{name}={value}" for name, value in settings.items()]
    # What Java is told of a store's own authority.
    trust = shlex.split(environment.get("SPARK_SUBMIT_OPTS", ""))
    return [str(java_home() / "bin" / "java"), *_JAVA, *trust, *options, "-cp", spark_class_path(), _SERVER]


def main(arguments: list[str]) -> int:
    """Become the history server; returns only where that is not possible."""
    try:
        make_event_log(event_logs(), storage())
        program = command(int(arguments[0]), os.environ)
    except HepsparkError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return os.execve(program[0], program, {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1"})  # noqa: S606


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
