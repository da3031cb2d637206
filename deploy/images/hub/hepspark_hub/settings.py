"""What the chart tells the hub: read once when it starts, closed, and checked."""

import json
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$")]
Memory = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*(Mi|Gi)$")]
"""As Kubernetes writes it."""
Heap = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*[mg]$")]
"""As Spark writes it."""


class Section(BaseModel):
    """A part of the settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Executors(Section):
    """What the Spark of one server may have."""

    instances: Annotated[int, Field(ge=0, le=1000)]
    """At most so many."""
    cores: Annotated[int, Field(ge=1, le=64)] = 1
    memory: Heap = "1g"


class Flavor(Section):
    """A size of servers that users choose from."""

    name: Slug
    title: str
    cores: Annotated[float, Field(gt=0)]
    """That a server may use."""
    requested_cores: Annotated[float, Field(gt=0)]
    """That it is sure of."""
    memory: Memory
    executors: Executors
    groups: tuple[str, ...] = ()
    """Who may choose it; everybody where this is empty."""


class Storage(Section):
    """The S3 store, as charts tell of it."""

    endpoint: str
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
    minutes: Annotated[int, Field(ge=15, le=720)] = 60
    """How long temporary credentials hold; they are renewed at half of it."""


class Settings(Section):
    """All of it."""

    namespace: str
    image: str
    pull_policy: str = "IfNotPresent"
    flavors: Annotated[tuple[Flavor, ...], Field(min_length=1)]
    executors_per_user: Annotated[int, Field(ge=0)] = 8
    """Over all servers of a user."""
    storage: Storage
    workspace: Workspace
    volume: Memory = "5Gi"
    volume_class: str = ""
    driver_account: str = "spark-driver"
    executor_account: str = "spark-executor"
    history: str = ""
    idle_minutes: Annotated[int, Field(ge=0)] = 60
    """Until a server that nobody uses is stopped; 0: never."""
    admins: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _flavors_differ(self) -> Self:
        names = [flavor.name for flavor in self.flavors]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"flavors: {', '.join(twice)} is there twice")
        return self


def load(path: Path) -> Settings:
    """The settings in a JSON file.

    Raises:
        ValueError: a key is missing, unknown or wrong; it is named.
    """
    return Settings.model_validate(json.loads(path.read_text()))
