"""What the chart tells the hub: read once when it starts, closed, and checked."""

import json
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

FILE = Path("/etc/hub/settings.json")

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?$")]
Memory = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*(Mi|Gi)$")]
"""As Kubernetes writes it."""
Heap = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*[mg]$")]
"""As Spark writes it."""
Url = Annotated[str, StringConstraints(pattern=r"^https?://")]


class Section(BaseModel):
    """A part of the settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Executors(Section):
    """What the Spark of one server may have."""

    instances: Annotated[int, Field(ge=0, le=1000)]
    """At most so many."""
    cores: Annotated[int, Field(ge=1, le=64)] = 1
    memory: Heap = "1g"
    requested_cores: Annotated[float, Field(gt=0)] | None = None
    """That each is sure of; all its cores where this is left out."""


class Flavor(Section):
    """A size of servers that users choose from."""

    name: Slug
    title: str
    cores: Annotated[float, Field(gt=0)]
    """That a server may use."""
    requested_cores: Annotated[float, Field(gt=0)]
    """That it is sure of."""
    memory: Memory
    driver_memory: Heap
    """Heap of its Spark driver, which is a part of the memory."""
    executors: Executors
    groups: tuple[str, ...] = ()
    """Who may choose it; everybody where this is empty."""


class Storage(Section):
    """The S3 store, as charts tell of it."""

    endpoint: Url
    region: str = "us-east-1"
    path_style: bool = True
    ca_config_map: str = ""


class Workspace(Section):
    """Where a user's own objects are, and what else a server may read."""

    bucket: str
    public: tuple[str, ...] = ()
    """Buckets that every server may read."""
    credentials: Literal["sts", "secret"] = "sts"
    """Temporary ones for the user's prefix, or fixed ones out of a Secret of each user."""
    sts_endpoint: str = ""
    """Where the store gives temporary credentials; the endpoint itself where this is empty."""
    role: str = ""
    """Name (ARN) of the role to assume, for stores that want one."""
    minutes: Annotated[int, Field(ge=15, le=720)] = 60
    """How long temporary credentials hold."""


class Servers(Section):
    """What the servers of all users have in common."""

    image: str
    executor_image: str
    pull_policy: str = "IfNotPresent"
    volume: Memory = "5Gi"
    volume_class: str = ""
    quota: dict[str, str] = {}
    """What the pods of one user may use together, as a ResourceQuota writes it."""
    start_seconds: Annotated[int, Field(ge=30)] = 300
    idle_minutes: Annotated[int, Field(ge=0)] = 60
    """Until a server that nobody uses is stopped; 0: never."""
    node_selector: dict[str, str] = {}
    tolerations: tuple[dict[str, str], ...] = ()
    package_index: Url | Literal[""] = ""
    """Where `%pip install` finds packages; pip's own choice where this is empty."""


class Oidc(Section):
    """A provider that knows the users."""

    client_id: str
    authorize_url: Url
    token_url: Url
    userdata_url: Url
    callback_url: Url
    scopes: tuple[str, ...] = ("openid", "profile", "groups")
    username_claim: str = "preferred_username"
    groups_claim: str = "groups"
    allowed_groups: tuple[str, ...] = ()
    """Who may sign in; whoever the provider lets in where this is empty."""
    admin_groups: tuple[str, ...] = ()
    login_service: str = "single sign-on"
    """What the button says."""


class Settings(Section):
    """All of it."""

    namespace: Annotated[str, StringConstraints(max_length=14)]
    """Of the hub; those of users begin with it, and no name has more than 63 characters."""
    hub: Slug
    """Name of its service, and the beginning of the names of its rights."""
    proxy: Slug
    """Name of the service by which the hub tells the proxy its routes."""
    address: Url
    """Of the proxy, as pods reach it."""
    flavors: Annotated[tuple[Flavor, ...], Field(min_length=1)]
    storage: Storage
    workspace: Workspace
    servers: Servers
    administrator: str = ""
    """First of the local accounts."""
    oidc: Oidc | None = None
    """In the place of local accounts."""

    @model_validator(mode="after")
    def _flavors_differ(self) -> Self:
        names = [flavor.name for flavor in self.flavors]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"flavors: {', '.join(twice)} is there twice")
        return self

    @model_validator(mode="after")
    def _somebody_signs_in(self) -> Self:
        if bool(self.administrator) == bool(self.oidc):
            raise ValueError("give an administrator, for local accounts, or oidc, and not both")
        return self


def load(path: Path) -> Settings:
    """The settings in a JSON file.

    Raises:
        ValueError: a key is missing, unknown or wrong; it is named.
    """
    return Settings.model_validate(json.loads(path.read_text()))
