"""Makes the Spark that a notebook starts by its own hand that of `session`; IPython loads this in every kernel.

On a facility `SparkSession.builder.config(…).getOrCreate()`, and BigDL's `init_nncontext`, know nothing of pods, ports
and the store. Their properties are handed to `hepspark.notebook.session`, which checks and completes them.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import os
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from hepspark.notebook import links, memory
from hepspark.notebook.facility import facility
from hepspark.notebook.packages import Pip

_MODULE = "pyspark.context"
_ARGUMENTS = {"master": "spark.master", "appName": "spark.app.name"}
"""Arguments of `SparkContext` that are properties."""


def load_ipython_extension(shell: Any) -> None:
    """Begin; elsewhere than on a facility Spark stays as it is."""
    place = facility()
    if place is None:
        return
    os.environ.setdefault("KMP_SETTINGS", "0")  # BigDL else has OpenMP print all its settings, here and in executors
    if hasattr(shell, "kernel"):
        memory.watch(shell)
        links.lead_to(place.spark_pages, shell)
        Pip(shell)
    if _MODULE in sys.modules:
        _hand_over(sys.modules[_MODULE])
    elif not any(isinstance(finder, _WhenImported) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WhenImported())


class _WhenImported(importlib.abc.MetaPathFinder):
    """Waits for pyspark, so that kernels without Spark do not import it."""

    def find_spec(
        self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != _MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec and spec.loader:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    def __init__(self, own: Any) -> None:
        self._own = own

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._own.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        self._own.exec_module(module)
        _hand_over(module)


def _hand_over(module: ModuleType) -> None:
    """Have `SparkContext` ask `session`; all ways to Spark lead through it."""
    kind: Any = module.SparkContext
    if hasattr(kind, "hepspark"):
        return
    kind.hepspark = True
    get, start = kind.getOrCreate, kind.__init__
    signature = inspect.signature(start)

    def get_or_create(cls: Any, conf: Any = None) -> Any:
        with cls._lock:
            if _is_ours_to_start(cls):
                return _session(dict(conf.getAll()) if conf else None)
            return get(conf)

    def new(cls: Any, *arguments: Any, **named: Any) -> Any:
        given = signature.bind(None, *arguments, **named).arguments
        with cls._lock:
            if not _is_ours_to_start(cls):
                return object.__new__(cls)
            context = _session(_properties(given))
        for path in given.get("pyFiles") or ():
            context.addPyFile(path)
        return context

    def init(self: Any, *arguments: Any, **named: Any) -> None:
        if not getattr(self, "_jsc", None):  # else `new` has started it
            start(self, *arguments, **named)

    kind.getOrCreate, kind.__new__, kind.__init__ = classmethod(get_or_create), new, init


def _is_ours_to_start(kind: Any) -> bool:
    """Whether there is no Spark yet, and nobody starts one."""
    from hepspark.notebook import application
    from hepspark.spark import is_running

    active = kind._active_spark_context
    return not (application.is_starting() or (active and is_running(active)))


def _session(conf: Mapping[str, str] | None) -> Any:
    from hepspark.notebook import application

    jars = os.environ.get("BIGDL_JARS")
    if jars and jars in os.environ.get("PYSPARK_SUBMIT_ARGS", ""):  # from BigDL, which made the conf; they are there
        del os.environ["PYSPARK_SUBMIT_ARGS"]
    return application.session(conf=conf).sparkContext


def _properties(given: Mapping[str, Any]) -> dict[str, str]:
    """Spark's properties, of the arguments that `SparkContext` was called with.

    Raises:
        InputError: an argument says what only the start of another Spark could do.
    """
    from hepspark.errors import InputError

    conf, environment = given.get("conf"), given.get("environment") or {}
    found = dict(conf.getAll()) if conf else {}
    found |= {f"spark.executorEnv.{name}": value for name, value in environment.items()}
    for argument, name in _ARGUMENTS.items():
        if given.get(argument):
            found[name] = given[argument]
    other = given.keys() - _ARGUMENTS.keys() - {"self", "conf", "environment", "pyFiles"}
    if other:
        raise InputError(
            f"SparkContext({', '.join(sorted(other))}=…): here hepspark starts Spark, which takes conf, "
            f"{', '.join(_ARGUMENTS)}, environment and pyFiles alone; leave the rest out"
        )
    return found
