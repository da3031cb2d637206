"""A YAML file and `key=value` overrides become one checked configuration."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from hepspark.config.base import section_at
from hepspark.config.mistakes import explain_all
from hepspark.config.models import Config
from hepspark.config.reading import read_text, read_value
from hepspark.errors import InputError
from hepspark.place import argument, local_path

T = TypeVar("T")


def load(path: str | PathLike[str] | None, overrides: Sequence[str] = ()) -> Config:
    """The configuration of a file with overrides applied on top.

    Args:
        path: YAML file, or None for the defaults.
        overrides: `section.key=value`; of two for one key the last one holds. See `read_value` for the value.

    Raises:
        InputError: the file is not readable YAML, or a key or value is wrong; all mistakes are named at once.
    """
    file = argument("configuration file", path, local_path) if path is not None else None
    data = _read(file) if file else {}
    for override in overrides:
        _apply(data, override)
    return checked(data, file or "configuration")


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
        raise InputError(f"{source}: " + "\n  ".join(explain_all(Config, error))) from error


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


def _read(path: str) -> dict[str, Any]:
    try:
        data = read_text(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such configuration file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; a configuration is a YAML file") from error
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        found = "a list" if isinstance(data, list) else "one value"
        raise InputError(f"{path}: expected keys such as 'train:' at the top, found {found}")
    return cast(dict[str, Any], data)


def _split(parts: Sequence[str]) -> tuple[Sequence[str], str]:
    """The sections of a key and its name in the last one. Names of Spark's properties have dots, too."""
    model: type[BaseModel] = Config
    depth = len(parts) - 1
    for number, part in enumerate(parts[:-1], 1):
        inner = section_at(model, part)
        if inner is None:
            depth = number if part in model.model_fields else depth
            break
        model = inner
    return parts[:depth], ".".join(parts[depth:])


def _apply(data: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    parts = [part.strip() for part in key.split(".")]
    sections, last = _split(parts)
    if not separator or not all(parts):
        raise InputError(f"--set {override}: expected key=value, such as train.epochs=5")
    try:
        value = read_value(text)
    except ValueError as error:
        raise InputError(f"--set {override}: {error}") from error
    for section in sections:
        if data.get(section) is None:
            data[section] = {}
        inner = data[section]
        if not isinstance(inner, dict):
            raise InputError(f"--set {override}: {section} is a value, not a section")
        data = inner
    data[last] = value
