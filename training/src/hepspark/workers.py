"""The process that starts Python's workers on a Spark executor: PySpark's own, with workers that waste less time.

Before each task, a worker lists all archives on Python's path again, among them a JAR file of Spark that holds no
Python. After each task, it looks for garbage among the objects of all modules. Both take time, whatever the task does
(ADR 16). Spark's archives hold the same PySpark that is installed with hepspark; imported from
there, each process compiles it again.

python -m hepspark.workers (the executor starts it, by Spark's property spark.python.daemon.module)
"""

import gc
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

MODULE = __name__
_OF_SPARK = ("pyspark.zip", "py4j-*-src.zip", "spark-core_*.jar")
_IN_ARCHIVES = ("pyspark", "py4j")


def without_archives(path: Sequence[str]) -> list[str]:
    """Python's path without Spark's archives; all of it, where PySpark is nowhere else."""
    rest = [entry for entry in path if not any(Path(entry).match(name) for name in _OF_SPARK)]
    return rest if all(PathFinder.find_spec(name, rest) for name in _IN_ARCHIVES) else list(path)


def sparing(work: Callable[..., int]) -> Callable[..., int]:
    """The same work; what its modules hold afterwards is no longer searched for garbage."""
    modules = 0

    def worker(*arguments: Any) -> int:
        nonlocal modules
        code = work(*arguments)
        if len(sys.modules) > modules:  # as after the first task, and seldom later
            modules = len(sys.modules)
            gc.collect()
            gc.freeze()
        return code

    return worker


def main() -> None:
    """Start workers until Spark asks to end."""
    kept = without_archives(sys.path)
    for entry in set(sys.path).difference(kept):
        sys.path_importer_cache.pop(entry, None)
    sys.path[:] = kept

    from pyspark import daemon

    daemon.worker = sparing(daemon.worker)
    daemon.manager()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
