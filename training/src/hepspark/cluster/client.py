"""The connection to the API server. Objects are plain data, as in YAML."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hepspark.errors import HepsparkError, RunError

Object = dict[str, Any]
"""An object of Kubernetes."""

_TIMEOUT = (3.0, 10.0)
_ATTEMPTS = 3


class ApiError(Exception):
    """The API server refused a request, or did not answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        """Of HTTP; 0 where there was no answer."""


@dataclass(frozen=True)
class Cluster:
    """A namespace of a cluster, and how it is reached. Safe to use from several threads."""

    namespace: str
    _api: Any

    def path(self, kind: str, name: str = "") -> str:
        """Path of a kind in this namespace, such as "pods" or "batch/v1/jobs", or of one object of it."""
        group, _, plural = kind.rpartition("/")
        base = f"/apis/{group}" if group else "/api/v1"
        return f"{base}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    def request(
        self, method: str, path: str, body: Object | None = None, query: Mapping[str, str] | None = None
    ) -> Object:
        """Send a request; a read is repeated if the connection breaks.

        Raises:
            ApiError: it was refused, or there was no answer.
        """
        attempts = _ATTEMPTS if method == "GET" else 1
        for attempt in range(attempts):
            try:
                return self._request(method, path, body, query or {})
            except ApiError as error:
                if error.status or attempt == attempts - 1:
                    raise
        raise AssertionError

    def _request(self, method: str, path: str, body: Object | None, query: Mapping[str, str]) -> Object:
        import urllib3.exceptions

        request = self._api.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params={"Accept": "application/json", "Content-Type": "application/json"},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            response = self._api.call_api(*request, _request_timeout=_TIMEOUT)
            data = response.read()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ApiError(0, f"the Kubernetes API server does not answer: {error}") from error
        except HepsparkError:
            raise  # the work is broken off
        except Exception as error:
            # The client's own error for what has neither HTTP status nor a class of urllib3: TLS, mostly.
            raise ApiError(0, f"the request to the Kubernetes API server failed: {error}") from error
        if response.status >= 400:
            raise ApiError(response.status, _message(data) or f"HTTP {response.status}")
        return dict(json.loads(data))

    def read(self, kind: str, name: str) -> Object | None:
        """An object; None where there is none of that name.

        Raises:
            ApiError: see `request`.
        """
        try:
            return self.request("GET", self.path(kind, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def objects(self, kind: str, selector: str = "") -> list[Object]:
        """All objects of a kind in the namespace, or those whose labels match a selector.

        Raises:
            ApiError: see `request`.
        """
        return self.objects_at(self.path(kind), selector)

    def objects_at(self, path: str, selector: str = "", fields: str = "") -> list[Object]:
        """All objects at a path.

        Raises:
            ApiError: see `request`.
        """
        query = {"limit": "500"}
        query |= {"labelSelector": selector} if selector else {}
        query |= {"fieldSelector": fields} if fields else {}
        found: list[Object] = []
        while True:
            page = self.request("GET", path, query=query)
            found += page["items"]
            following = page["metadata"].get("continue")
            if not following:
                return found
            query["continue"] = following


def connect(namespace: str) -> Cluster:
    """The cluster of this pod, or the one that KUBECONFIG names.

    Raises:
        RunError: there is neither, or the Kubernetes client is not installed.
    """
    try:
        from kubernetes import client, config
    except ImportError as error:
        raise RunError("the Kubernetes client is not installed: pip install 'hepspark[cluster]'") from error
    configuration = client.Configuration()
    try:
        file = os.environ.get("KUBECONFIG")
        if file:  # given by name, as the client reads the variable only once, when it is imported
            config.load_kube_config(config_file=file, client_configuration=configuration)
        else:
            config.load_incluster_config(client_configuration=configuration)
    except config.ConfigException as error:
        raise RunError(
            f"Kubernetes cannot be reached: {error}; run in a pod with a service account, or set KUBECONFIG"
        ) from error
    configuration.retries = False  # whoever asks knows whether a request may be repeated
    return Cluster(namespace, client.ApiClient(configuration))


def _message(data: bytes) -> str:
    try:
        return str(json.loads(data)["message"])
    except (ValueError, KeyError, TypeError):
        return data[:200].decode(errors="replace")
