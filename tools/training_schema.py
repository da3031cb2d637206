"""Puts the schema of hepspark's configuration into that of the values of chart `training`, which hands it over.

Sections that the chart fills itself from other values are left out, so that each fact has one place.
"""

import json
from pathlib import Path
from typing import Any

from hepspark.config import schema

SCHEMA = Path(__file__).parents[1] / "helm" / "training" / "values.schema.json"
OWN = ("folder", "spark", "storage")


def completed(values: dict[str, Any]) -> dict[str, Any]:
    """The schema of the values, with the configuration of this hepspark in it."""
    config = schema()
    definitions = config.pop("$defs")
    sections = {name: part for name, part in config["properties"].items() if name not in OWN}
    used = json.dumps(sections)
    wanted = [name for name in definitions if f"#/$defs/{name}" in used]
    for name in wanted:  # grows while it is gone through
        inner = json.dumps(definitions[name])
        wanted += [other for other in definitions if f"#/$defs/{other}" in inner and other not in wanted]
    properties = dict(values["properties"])
    properties["config"] |= {"type": "object", "additionalProperties": False, "properties": sections}
    return values | {"properties": properties, "$defs": {name: definitions[name] for name in sorted(wanted)}}


def main() -> None:
    """Write it."""
    SCHEMA.write_text(json.dumps(completed(json.loads(SCHEMA.read_text())), indent=2) + "\n")


if __name__ == "__main__":
    main()
