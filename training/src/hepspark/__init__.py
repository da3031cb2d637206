"""Trains particle-physics event classifiers with BigDL on Spark, on one machine or on Kubernetes."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str
else:

    def __getattr__(name: str) -> str:
        """The version: looking for it takes longer than some programs of this package take altogether."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("hepspark")
        except PackageNotFoundError:  # a source tree on PYTHONPATH that was never installed
            return "0+unknown"
