"""What a notebook imports: a Spark of one line, the steps on it, and the places where data lies.

    from hepspark import notebook as hep
    spark = hep.session(executors=2)

On a facility the executors are pods of the cluster; elsewhere the cores of this machine do the work, by the same calls.
Only what is used is imported, so that the import is instant.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hepspark.notebook.application import history, scale, session, stop, ui
    from hepspark.notebook.files import download, ls, upload
    from hepspark.notebook.identity import about
    from hepspark.notebook.places import public, sample, sample_root, workspace
    from hepspark.notebook.results import load_metrics, load_model
    from hepspark.notebook.steps import evaluate, ingest, predict, train

__all__ = [
    "about",
    "download",
    "evaluate",
    "history",
    "ingest",
    "load_metrics",
    "load_model",
    "ls",
    "predict",
    "public",
    "sample",
    "sample_root",
    "scale",
    "session",
    "stop",
    "train",
    "ui",
    "upload",
    "workspace",
]

_MODULES = {
    "application": ("history", "scale", "session", "stop", "ui"),
    "files": ("download", "ls", "upload"),
    "identity": ("about",),
    "places": ("public", "sample", "sample_root", "workspace"),
    "results": ("load_metrics", "load_model"),
    "steps": ("evaluate", "ingest", "predict", "train"),
}


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        for module, names in _MODULES.items():
            if name in names:
                found = getattr(importlib.import_module(f"{__name__}.{module}"), name)
                globals()[name] = found  # where a module has the same name, the import has just put it here
                return found
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
