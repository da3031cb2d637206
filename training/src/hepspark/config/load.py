"""A YAML file and `key=value` overrides become one checked configuration."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

import yaml
from pydantic import BaseModel, ValidationError

from hepspark.config.models import Config
from hepspark.errors import InputError

T = TypeVar("T")


def load(path: Path | None, overrides: Sequence[str] = ()) -> Config:
    """The configuration of a file with overrides applied on top.

    Args:
        path: YAML file, or None for the defaults.
        overrides: `section.key=value`; the value is read as YAML.

    Raises:
        InputError: the file is not readable YAML, or a key or value is wrong; all mistakes are named at once.
    """
    data = _read(path) if path else {}
    for override in overrides:
        _apply(data, override)
    return checked(data, str(path) if path else "configuration")


def checked(data: Mapping[str, Any], source: str) -> Config:
    """The configuration of sections.

    Args:
        data: Sections with their keys.
        source: Where they come from, for the message.

    Raises:
        InputError: a key or value is wrong; all mistakes are named at once.
    """
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        lines = [_explain(e) for e in error.errors(include_url=False)]
        raise InputError(f"{source}: " + "\n  ".join(lines)) from error


def schema() -> dict[str, Any]:
    """JSON Schema of the configuration."""
    return Config.model_json_schema()


def given(value: T | None, key: str) -> T:
    """The value of a key that this step cannot do without.

    Raises:
        InputError: the key was not given.
    """
    if value is None or value == () or value == {}:
        raise InputError(f"{key} is not given: set it in the configuration file or with --set {key}=…")
    return value


def _read(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such configuration file") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: not readable as YAML: {error}") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise InputError(f"{path}: expected keys such as 'train:' at the top, found a {type(data).__name__}")
    return cast(dict[str, Any], data)


def _apply(data: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise InputError(f"--set {override}: expected key=value, such as train.epochs=5")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"--set {override}: the value is not readable as YAML: {error}") from error
    *sections, last = key.split(".")
    for section in sections:
        inner = data.setdefault(section, {})
        if not isinstance(inner, dict):
            raise InputError(f"--set {override}: {section} is not a section")
        data = inner
    data[last] = value


def _explain(error: Any) -> str:
    location = [part for part in error["loc"] if not (isinstance(part, str) and part.startswith("function-"))]
    key = ".".join(str(part) for part in location)
    if error["type"] == "extra_forbidden":
        known = _keys_at(location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"the keys here are {', '.join(sorted(known))}"
        return f"{key}: no such key; {hint}"
    message = error["msg"].removeprefix("Value error, ")
    return f"{key}: {message} (got {error['input']!r})" if not isinstance(error["input"], dict) else f"{key}: {message}"


def _keys_at(location: Sequence[Any]) -> list[str]:
    model: type[BaseModel] = Config
    for part in location:
        field = model.model_fields.get(str(part))
        candidates = (field.annotation, *get_args(field.annotation)) if field else ()
        inner = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)
