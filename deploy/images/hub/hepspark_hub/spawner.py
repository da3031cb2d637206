"""KubeSpawner, with a hook for what ends with the account of a user."""

from kubespawner import KubeSpawner
from traitlets import Callable


class NotebookSpawner(KubeSpawner):  # type: ignore[misc] # it ships no type information
    """Makes the servers of users."""

    delete_hook = Callable(config=True, help="Is awaited with the spawner when its user is deleted")

    async def delete_forever(self) -> None:
        """What follows the end of the server."""
        await super().delete_forever()
        await self.delete_hook(self)
