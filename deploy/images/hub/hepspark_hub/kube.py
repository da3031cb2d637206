"""The API server of Kubernetes, asked with plain data through the client that KubeSpawner has."""

from typing import Any

from kubernetes_asyncio.client import ApiClient
from kubernetes_asyncio.client.rest import ApiException

Object = dict[str, Any]

_MANAGER = "hepspark-hub"
_SECONDS = 10
_PLURALS = {
    "ConfigMap": "configmaps",
    "LimitRange": "limitranges",
    "Namespace": "namespaces",
    "NetworkPolicy": "networkpolicies",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "ResourceQuota": "resourcequotas",
    "RoleBinding": "rolebindings",
    "ServiceAccount": "serviceaccounts",
}


def path_of(manifest: Object) -> str:
    """Where an object is."""
    version, meta = manifest["apiVersion"], manifest["metadata"]
    base = f"/apis/{version}" if "/" in version else f"/api/{version}"
    within = f"/namespaces/{meta['namespace']}" if "namespace" in meta else ""
    return f"{base}{within}/{_PLURALS[manifest['kind']]}/{meta['name']}"


async def read(api: ApiClient, path: str) -> Object | None:
    """What is at a path; None where nothing is.

    Raises:
        ApiException: it was refused.
    """
    try:
        return await _request(api, "GET", path)
    except ApiException as error:
        if error.status == 404:
            return None
        raise


async def objects(api: ApiClient, path: str, **query: str) -> list[Object]:
    """All objects at a path.

    Raises:
        ApiException: it was refused.
    """
    return list((await _request(api, "GET", path, query))["items"])


async def apply(api: ApiClient, manifest: Object) -> None:
    """Have an object be as a manifest says, whatever it was.

    Raises:
        ApiException: it was refused.
    """
    query = {"fieldManager": _MANAGER, "force": "true"}
    await _request(api, "PATCH", path_of(manifest), query, manifest)


async def delete(api: ApiClient, path: str, **query: str) -> None:
    """Remove an object, or all at a path; nothing happens where there is none.

    Raises:
        ApiException: it was refused.
    """
    try:
        await _request(api, "DELETE", path, query)
    except ApiException as error:
        if error.status != 404:
            raise


async def _request(
    api: ApiClient, method: str, path: str, query: dict[str, str] | None = None, body: Object | None = None
) -> Object:
    content = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
    response = await api.call_api(
        path,
        method,
        query_params=list((query or {}).items()),
        header_params={"Accept": "application/json", "Content-Type": content},
        body=body,
        auth_settings=["BearerToken"],
        response_types_map={200: "object", 201: "object", 202: "object"},
        _return_http_data_only=True,
        _request_timeout=_SECONDS,
    )
    return dict(response)
