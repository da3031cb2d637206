"""Puts what the README of a chart says of each value into the chart's `values.schema.json`, where editors show it.

helm-docs alone reads the comments of `values.yaml`: what it dropped is missing here, too.
"""

import json
import re
from pathlib import Path
from typing import Any

HELM = Path(__file__).parents[1] / "helm"
CHARTS = sorted(file.parent for file in HELM.glob("*/Chart.yaml"))
_HEAD = "| Key | Type | Default | Description |"
_ROW = re.compile(r"\| (\S+) \| \S+ \| `.*` \| ([^|]*) \|")


def descriptions(readme: str) -> dict[str, str]:
    """What the table of a README says of each value, by the value's place (`image.tag`); empty where it says nothing.

    Raises:
        ValueError: A row is not `| key | type | default | description |`.
    """
    _, _, table = readme.partition(f"{_HEAD}\n")
    found: dict[str, str] = {}
    for line in table.splitlines()[1:]:
        if not line:
            break
        row = _ROW.fullmatch(line)
        if not row:
            raise ValueError(f"not a row of four columns, a description has no `|`: {line}")
        found[row[1]] = row[2].strip()
    return found


def described(schema: dict[str, Any], texts: dict[str, str], place: str = "") -> dict[str, Any]:
    """The schema of a section with these descriptions and no others; what is below a described value stays as it is."""
    properties = {}
    for name, part in schema["properties"].items():
        key, rest = f"{place}{name}", {word: value for word, value in part.items() if word != "description"}
        if texts.get(key):
            properties[name] = {"description": texts[key], **rest}
        else:
            properties[name] = described(rest, texts, f"{key}.") if "properties" in rest else rest
    return schema | {"properties": properties}


def text(chart: Path) -> str:
    """What the schema of a chart has to be."""
    schema = json.loads((chart / "values.schema.json").read_text())
    return json.dumps(described(schema, descriptions((chart / "README.md").read_text())), indent=2) + "\n"


def main() -> None:
    """Write them all."""
    for chart in CHARTS:
        (chart / "values.schema.json").write_text(text(chart))


if __name__ == "__main__":
    main()
