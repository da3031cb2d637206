"""Makes the Spark that a notebook starts by its own hand that of `session`; IPython loads this in every kernel.

On a facility `SparkSession.builder.config(…).getOrCreate()`, and BigDL's `init_nncontext`, know nothing of pods, ports
and the store. Their properties are handed to `hepspark.notebook.session`, which checks and completes them.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from hepspark.notebook import links, memory
from hepspark.notebook.facility import facility
from hepspark.notebook.packages import Pip

_MODULE = "pyspark.context"


def load_ipython_extension(shell: Any) -> None:
    """Begin; elsewhere than on a facility Spark stays as it is."""
    place = facility()
    if place is None:
        return
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

    def get_or_create(cls: Any, conf: Any = None) -> Any:
        from hepspark.notebook import application
        from hepspark.spark import is_running

        active = cls._active_spark_context
        if not application.is_starting() and not (active and is_running(active)):
            application.session(conf=dict(conf.getAll()) if conf else None)
            return cls._active_spark_context
        return get(conf)

    def init(self: Any, *arguments: Any, **named: Any) -> None:
        from hepspark.errors import InputError
        from hepspark.notebook import application

        if not application.is_starting():
            raise InputError(
                "SparkContext(…): here Spark is started by hepspark.notebook.session(executors=…), by "
                "SparkSession.builder.config(…).getOrCreate() or by SparkContext.getOrCreate(conf)"
            )
        start(self, *arguments, **named)

    kind.getOrCreate, kind.__init__ = classmethod(get_or_create), init
