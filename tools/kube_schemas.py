"""Writes a JSON Schema for each kind of Kubernetes object, for kubeconform, from the OpenAPI file of Kubernetes.

`python3 tools/kube_schemas.py swagger.json FOLDER`; the standard library is enough. Objects are closed, so that a
misspelt field is an error.
"""

import json
import sys
from pathlib import Path
from typing import Any

PREFIX = "#/definitions/"
# The file calls them strings; in YAML both are often written as numbers.
STRING_OR_NUMBER = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
}


def closed(name: str, definition: dict[str, Any]) -> dict[str, Any]:
    """A definition that allows only the fields that it names."""
    if name in STRING_OR_NUMBER:
        return {"type": ["string", "number"]}
    if "properties" in definition:
        return definition | {"additionalProperties": False}
    return definition


def references(value: Any) -> set[str]:
    """The names of all definitions that a schema refers to."""
    if isinstance(value, list):
        return set().union(*map(references, value))
    if not isinstance(value, dict):
        return set()
    own = value.get("$ref")
    named = {own.removeprefix(PREFIX)} if isinstance(own, str) else set()
    return named.union(*map(references, value.values()))


def schema(name: str, definitions: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The schema of one definition, with all that it refers to, directly or not."""
    needed: set[str] = set()
    found = {name}
    while found:
        needed |= found
        found = set().union(*(references(definitions[each]) for each in found)) - needed
    return {"$ref": PREFIX + name, "definitions": {each: closed(each, definitions[each]) for each in sorted(needed)}}


def file_name(group: str, version: str, kind: str) -> str:
    """The name by which kubeconform asks for the schema of a kind."""
    parts = [kind.lower(), *([group.split(".")[0]] if group else []), version.lower()]
    return "-".join(parts) + ".json"


def main(source: Path, folder: Path) -> None:
    """Write the schemas of all kinds."""
    definitions: dict[str, dict[str, Any]] = json.loads(source.read_text())["definitions"]
    folder.mkdir(parents=True, exist_ok=True)
    for name, definition in definitions.items():
        # Kinds with many versions, as DeleteOptions, are no objects.
        kinds = definition.get("x-kubernetes-group-version-kind", [])
        if len(kinds) == 1:
            file = folder / file_name(kinds[0]["group"], kinds[0]["version"], kinds[0]["kind"])
            file.write_text(json.dumps(schema(name, definitions)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
