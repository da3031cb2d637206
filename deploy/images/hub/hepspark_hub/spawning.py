"""What happens before a server's pod is made, and after its end.

Before, its flavor is looked at, and its user's namespace is brought about; afterwards, nothing of it is left there.
"""

import asyncio
from typing import Any

from kubernetes_asyncio.client import ApiClient
from kubernetes_asyncio.client.rest import ApiException
from tornado.web import HTTPError

from hepspark.cluster.capacity import quotas_of, rooms_of, whole_rooms_of
from hepspark_hub import kube, namespaces
from hepspark_hub.flavors import allowed, profiles, proposed
from hepspark_hub.room import Room, room
from hepspark_hub.settings import Flavor, Settings

_GRACE_SECONDS = "30"
_RIGHTS_SECONDS = 10.0
"""Until the API server knows of new rights; it does within a blink."""


class Spawning:
    """KubeSpawner's hooks.

    Args:
        settings: Of the hub.
        authority: Certificate of the store's authority; empty where there is none of its own.
    """

    def __init__(self, settings: Settings, authority: str) -> None:
        self._settings, self._authority = settings, authority

    async def choices(self, spawner: Any) -> list[dict[str, Any]]:
        """The profiles that a user may choose from, with what is free."""
        return profiles(self._flavors(spawner), await self._room(spawner))

    def _flavors(self, spawner: Any) -> list[Flavor]:
        if flavors := allowed(self._settings, _groups(spawner)):
            return flavors
        raise HTTPError(403, f"no flavor is for {spawner.user.name}: ask an administrator for a group that has one")

    async def prepare(self, spawner: Any) -> None:
        """Refuse a server that has no room, and bring about the namespace of its user."""
        flavors, free = self._flavors(spawner), await self._room(spawner)
        chosen = spawner.user_options.get("profile") or proposed(flavors, free).name
        # KubeSpawner refuses another name.
        if flavor := next((each for each in flavors if each.name == chosen), None):
            if never := free.never_holds(flavor):
                others = any(not free.never_holds(each) for each in flavors)
                advice = "Choose a smaller one" if others else "Ask an administrator: no other flavor fits"
                raise HTTPError(409, f"{flavor.title} cannot be started on this cluster: {never}. {advice}.")
            if lacking := free.lacks(flavor):
                raise HTTPError(
                    409, f"There is no room for {flavor.title}: {lacking} (free: {free.told()}). Choose a smaller one."
                )
        await self._bring_namespace(_api(spawner), spawner.namespace, flavors)
        await self.clear(spawner)  # a server that ended while the hub was away

    async def _bring_namespace(self, api: ApiClient, name: str, flavors: list[Flavor]) -> None:
        settings = self._settings
        found = await kube.read(api, f"/api/v1/namespaces/{name}")
        if found and not namespaces.is_ours(settings, found):
            raise HTTPError(500, f"namespace {name} is not of this hub: remove it, or give the hub another namespace")
        if found and "deletionTimestamp" in found["metadata"]:
            raise HTTPError(503, f"namespace {name} is being removed: try again in a minute")
        await kube.apply(api, namespaces.namespace(settings, name))
        await kube.apply(api, namespaces.hub_rights(settings, name))
        content = namespaces.content(settings, name, flavors, self._authority)
        await asyncio.gather(*(_as_soon_as_allowed(api, each) for each in content))
        volume = namespaces.volume(settings, name)
        if await kube.read(api, kube.path_of(volume)) is None:
            await kube.apply(api, volume)

    async def clear(self, spawner: Any) -> None:
        """End what a server that has stopped leaves behind: all that its kernels made, also by their own hand.

        A user has one server at most, and the rights to make more have ended with its pod.
        """
        api, name = _api(spawner), spawner.namespace
        if not await self._has_namespace(api, name):
            return
        # The pod itself may have asked for longer.
        await kube.delete(api, f"/api/v1/namespaces/{name}/pods", gracePeriodSeconds=_GRACE_SECONDS)
        kept = ",".join(f"metadata.name!={each}" for each in namespaces.KEPT_CONFIG_MAPS)
        await kube.delete(api, f"/api/v1/namespaces/{name}/configmaps", fieldSelector=kept)

    async def revoke(self, spawner: Any) -> None:
        """End what a user who is deleted leaves behind, but files: also the accounts of pods, and so their rights."""
        await self.clear(spawner)
        api, name = _api(spawner), spawner.namespace
        if await self._has_namespace(api, name):
            for account in (namespaces.DRIVER_ACCOUNT, namespaces.EXECUTOR_ACCOUNT):
                await kube.delete(api, f"/api/v1/namespaces/{name}/serviceaccounts/{account}")

    async def _has_namespace(self, api: ApiClient, name: str) -> bool:
        found = await kube.read(api, f"/api/v1/namespaces/{name}")
        return found is not None and namespaces.is_ours(self._settings, found)

    async def _room(self, spawner: Any) -> Room:
        """What is free; nothing is told of what cannot be looked at."""
        api = _api(spawner)
        nodes = whole = None
        try:
            found, pods = await asyncio.gather(
                kube.objects(api, "/api/v1/nodes"),
                kube.objects(api, "/api/v1/pods", fieldSelector="status.phase!=Succeeded,status.phase!=Failed"),
            )
            servers = self._settings.servers
            spec = {"nodeSelector": servers.node_selector, "tolerations": list(servers.tolerations)}
            nodes, whole = rooms_of(found, pods, spec), whole_rooms_of(found, pods, spec)
            quotas = await kube.objects(api, f"/api/v1/namespaces/{spawner.namespace}/resourcequotas")
        except ApiException as error:
            if error.status not in (403, 404):
                raise
            quotas = []
        return room(quotas_of(namespaces.with_quota(self._settings, quotas)), nodes, whole)


async def _as_soon_as_allowed(api: ApiClient, manifest: kube.Object) -> None:
    """Apply where the right to do so was only just given."""
    end = asyncio.get_running_loop().time() + _RIGHTS_SECONDS
    while True:
        try:
            return await kube.apply(api, manifest)
        except ApiException as error:
            if error.status != 403 or asyncio.get_running_loop().time() > end:
                raise
        await asyncio.sleep(0.05)


def _groups(spawner: Any) -> list[str]:
    return [group.name for group in spawner.user.groups]


def _api(spawner: Any) -> ApiClient:
    return spawner.api.api_client
