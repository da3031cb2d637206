"""The bill of materials: everything the mirror holds."""

import json
from typing import Any

from deploy.mirror import entries
from deploy.mirror.places import Places
from deploy.mirror.versions import Versions


def collect(places: Places, versions: Versions) -> list[dict[str, Any]]:
    """One row for each file, image and package of the finished entries."""
    names = [*versions.components, *(f"debian-{release}" for release in versions.debian)]
    return [
        {
            "component": entry.name,
            "kind": artefact.kind,
            "name": artefact.name,
            "version": artefact.version,
            "place": artefact.place,
            "checksum": artefact.checksum,
            "size": artefact.size,
            "licence": entry.licence,
            "source": entry.source,
        }
        for name in names
        if (entry := entries.read(places, name))
        for artefact in entry.artefacts
    ]


def write(places: Places, versions: Versions) -> None:
    """Put the bill of materials beside what it lists."""
    places.www.mkdir(parents=True, exist_ok=True)
    new = places.www / ".bom.json.new"
    new.write_text(json.dumps(collect(places, versions), indent=1) + "\n")
    new.replace(places.www / "bom.json")


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in columns, for people."""
    lines = [("component", "name", "version", "size", "licence", "checksum", "source")]
    lines += [
        (
            row["component"],
            row["name"],
            row["version"],
            f"{row['size'] / 1e6:.1f} MB",
            row["licence"],
            row["checksum"].removeprefix("sha256:")[:16],
            row["source"],
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]) - 1)]
    text = ("  ".join([*(cell.ljust(w) for cell, w in zip(line, widths, strict=False)), line[-1]]) for line in lines)
    total = sum(row["size"] for row in rows)
    return "\n".join(text) + f"\n{len(rows)} artefacts, {total / 1e9:.2f} GB\n"
