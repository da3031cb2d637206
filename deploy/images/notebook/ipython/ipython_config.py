"""Kernels of a user's server: Spark that a notebook starts by its own hand is the facility's too."""

from typing import Any

config: Any = get_config()  # type: ignore[name-defined] # noqa: F821
config.InteractiveShellApp.extensions = ["hepspark.notebook.extension"]
