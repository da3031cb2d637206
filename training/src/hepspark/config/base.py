"""What every section of the configuration has in common, and the kinds of values."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from hepspark.place import local_path, place

T = TypeVar("T")


class Section(BaseModel):
    """A frozen part of the configuration that refuses keys it does not know.

    The docstring under each field is its description in the JSON Schema.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _without_empty_sections(cls, data: Any) -> Any:
        """A section of which no key is given, as where all of them are commented out, has its defaults."""
        if not isinstance(data, dict):
            return data
        return {name: value for name, value in data.items() if value is not None or section_at(cls, name) is None}


def section_at(model: type[BaseModel], name: Any) -> type[BaseModel] | None:
    """The section that a key holds, None where it holds something else."""
    field = model.model_fields.get(str(name))
    candidates = (field.annotation, *get_args(field.annotation)) if field else ()
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)


@dataclass(frozen=True)
class Form:
    """Text of one form, and the words for it in a message."""

    pattern: str
    words: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(schema) | {"pattern": self.pattern}

    def _checked(self, text: str) -> str:
        if not re.search(self.pattern, text):
            raise ValueError(f"expected {self.words}")
        return text


def _no_text(value: T) -> T:
    # Other programs read 012 as 10 and 1:30 as 90: what is no plain number is asked for again.
    if isinstance(value, str) and any(character.isdigit() for character in value):
        raise ValueError("expected a number as plain digits: no quotes, letters, colons, underscores or leading zeros")
    if isinstance(value, bool | str):
        raise ValueError("expected a number")
    return value


NUMBER = BeforeValidator(_no_text)
"""Refuses text and truth values where a number is wanted; it stands behind the bounds."""

_NO_OTHER_SCHEME = {"pattern": r"^([/.~]|[sS]3[aAnN]?://[^/]|[fF][iI][lL][eE]:/|[^:]+(:([^/]|/([^/]|$)|$)|$))"}

Url = Annotated[str, AfterValidator(place), Field(json_schema_extra={"minLength": 1, **_NO_OTHER_SCHEME})]
"""A file, a folder or a pattern, of this machine or in S3, in its one spelling (`hepspark.place`)."""

LocalFile = Annotated[str, AfterValidator(local_path), Field(json_schema_extra={"minLength": 1})]
"""A file of this machine, in its one spelling."""
