"""Trains particle-physics event classifiers with BigDL on Spark, on one machine or on Kubernetes."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("hepspark")
except PackageNotFoundError:  # a source tree on PYTHONPATH that was never installed
    __version__ = "0+unknown"
