"""What is said of a wrong key or value: which one, what was found there, and what is allowed."""

import difflib
import json
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hepspark.config.base import section_at

_LONGEST = 80

_WORDS = {
    "bool_parsing": "expected true or false",
    "bool_type": "expected true or false",
    "dict_type": "expected keys with values, such as {{key: value}}",
    "finite_number": "expected a finite number",
    "float_parsing": "expected a number",
    "float_type": "expected a number",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_from_float": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_parsing_size": "is too large",
    "int_type": "expected a whole number",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "expected {expected}",
    "recursion_loop": "refers to itself; write it out",
    "string_too_short": "is empty; give a value, or leave the key out",
    "string_type": "expected text",
    "too_long": "expected at most {max_length} values",
    "too_short": "expected {min_length} or more values",
    "tuple_type": "expected a list in brackets, such as [a, b]",
}
"""Kinds of pydantic's errors; other kinds have words of our own already."""


def explain_all(model: type[BaseModel], error: ValidationError) -> list[str]:
    """Every mistake in one line each, but those that only follow from another one.

    Args:
        model: What was to be made.
        error: What pydantic found.
    """
    found = error.errors(include_url=False)
    within = {mistake["loc"][:-1] for mistake in found}
    # A list whose values are wrong counts as too short, too.
    return [
        _explain(model, mistake) for mistake in found if mistake["type"] != "too_short" or mistake["loc"] not in within
    ]


def _explain(model: type[BaseModel], error: ErrorDetails) -> str:
    location, kind, value = error["loc"], error["type"], error["input"]
    if location[-1:] == ("[key]",):
        kind, location = "invalid_key", location[:-1]
    if kind == "invalid_key":
        word = "null" if value is None else _shown(value)
        return f"{'.'.join(map(str, (*location[:-1], word)))}: a key must be text; put it in quotes"
    key = ".".join(map(str, location))
    if kind == "extra_forbidden":
        known = list((_section(model, location[:-1]) or model).model_fields)
        first, dot, rest = str(location[-1]).partition(".")
        if dot and first in known:
            return f"{key}: no such key; write {first}: and, in the next line, indented, {rest}:"
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"the keys here are {', '.join(sorted(known))}"
        return f"{key}: no such key; {hint}"
    if section := _section(model, location) if kind in ("model_type", "model_attributes_type") else None:
        words = f"expected a section with some of the keys {', '.join(section.model_fields)}"
    elif kind in _WORDS:
        words = _WORDS[kind].format(**{name: _counted(bound) for name, bound in error.get("ctx", {}).items()})
    else:
        words = error["msg"].removeprefix("Value error, ")
    if isinstance(value, dict) and kind == "value_error":
        return f"{key}: {words}"  # of a section as a whole: the words name the key
    if kind == "string_type" and isinstance(value, int | float):
        words += "; if this value is text, put it in quotes"
    return f"{key}: {words} (got {_shown(value)})"


def _section(model: type[BaseModel], location: Sequence[Any]) -> type[BaseModel] | None:
    for part in location:
        inner = section_at(model, part)
        if inner is None:
            return None
        model = inner
    return model


def _counted(bound: Any) -> str:
    if isinstance(bound, float) and bound.is_integer():
        bound = int(bound)
    return f"{bound:,}" if isinstance(bound, int | float) else str(bound)


def _shown(value: Any) -> str:
    """A value as it would be typed."""
    if value is None:
        return "nothing"
    try:
        text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
