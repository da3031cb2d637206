"""YAML as people mean it: no key twice, and a number is a number only where every reader takes it for the same."""

import re
from typing import Any

import yaml
from yaml.nodes import MappingNode, ScalarNode

_QUOTES = "put text with one of * & @ % ! # : { } [ ] in quotes"


class _Loader(yaml.SafeLoader):
    """Reads `012`, `0x10`, `1_000`, `1:30`, `yes`, `no`, `on`, `off` and dates as text, and `1e-3` as a number."""

    yaml_implicit_resolvers = {}

    def compose_mapping_node(self, anchor: Any) -> MappingNode:
        """A mapping, of which no key is there twice."""
        node = super().compose_mapping_node(anchor)
        first: dict[tuple[str, Any], int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, ScalarNode):
                problem = f"a key must be a word; {_QUOTES}"
            elif (key.tag, key.value) not in first:
                first[key.tag, key.value] = line
                continue
            else:
                before = first[key.tag, key.value]
                where = f", in line {before} and in line {line}" if line != before else ""
                problem = f"{key.value} is there twice{where}; keep one of them"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
        return node


for _tag, _pattern, _first in (
    ("null", r"^(~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^[-+]?(0|[1-9][0-9]*)$", list("-+0123456789")),
    (
        "float",
        r"^[-+]?(((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?|\.(inf|Inf|INF))$|^\.(nan|NaN|NAN)$",
        list("-+.0123456789"),
    ),
    ("merge", r"^<<$", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


def read_text(text: str) -> Any:
    """The content of a YAML document; None where it is empty.

    Raises:
        ValueError: it is not readable; the message names the line.
    """
    return _read(text)


def read_value(text: str) -> Any:
    """A value that is typed on a command line.

    A list, a mapping and text in quotes are YAML. Everything else is one number, word or text as it stands: ` #` begins
    no comment in it, and `: ` no value.

    Raises:
        ValueError: it is not readable.
    """
    text = text.strip()
    if text[:1] in ("[", "{", '"', "'") and not text.startswith("{folder}"):
        return _read(text, whole=True)
    if text == "~":  # a home folder; in a file it is YAML's word for nothing
        return text
    loader = _Loader("")
    tag = loader.resolve(ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    return loader.construct_document(ScalarNode(tag, text))


def _read(text: str, *, whole: bool = False) -> Any:
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if whole and node and (rest := text[node.end_mark.index :].strip()):
            raise ValueError(f"{rest!r} is after the value; {_QUOTES}")
        return loader.construct_document(node) if node else None
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark and not whole else ""
        raise ValueError(f"{where}{_told(error)}") from error
    except yaml.reader.ReaderError as error:
        raise ValueError(f"contains the character U+{error.character:04X}, which is not text; remove it") from error
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def _told(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "not readable as YAML"
    if problem.endswith("keep one of them") or "must be a word" in problem:
        return problem
    if r"'\t'" in problem:
        return "a tab is before a key; indent with spaces"
    if "<block end>" in problem and "<block " in problem.partition("found ")[2]:
        return "the indentation is wrong; the keys of one section begin in the same column"
    if "another document" in problem:
        return "a second document begins (---); a configuration is one document"
    if "determine a constructor for the tag" in problem:
        return f"a tag, which begins with ! ({problem.rpartition('tag ')[2]}); {_QUOTES}"
    if "alias" in f"{error.context} {problem}" or "anchor" in f"{error.context} {problem}":
        return "text that begins with * or & must be in quotes, such as '*.root'"
    if "<document start>" in problem or "<block end>" in problem:
        return f"there is more text after the value; {_QUOTES}"
    if "mapping values are not allowed" in problem:
        return f"a colon where no value can begin; indent all keys of a section equally, and {_QUOTES}"
    problem = problem.replace("'<stream end>'", "the end").replace("'<scalar>'", "text")
    return f"not readable as YAML: {problem}; {_QUOTES}"
