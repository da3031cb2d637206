"""What JupyterHub reads when it starts; see the package `hepspark_hub`."""

from pathlib import Path

from hepspark_hub.configure import configure
from hepspark_hub.settings import load

configure(get_config(), load(Path("/etc/hub/settings.json")))  # type: ignore[name-defined] # noqa: F821
