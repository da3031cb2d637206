"""What JupyterHub reads when it starts; see the package `hepspark_hub`."""

from hepspark_hub.configure import configure
from hepspark_hub.places import Places
from hepspark_hub.settings import FILE, load

configure(get_config(), load(FILE), Places())  # type: ignore[name-defined] # noqa: F821
