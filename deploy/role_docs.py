"""The README of each Ansible role, out of its `meta/argument_specs.yml`: `python -m deploy.role_docs`."""

from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).with_name("roles")


def specification(role: Path) -> dict[str, Any]:
    """What the role says of itself: description and options."""
    loaded = yaml.safe_load((role / "meta/argument_specs.yml").read_text())
    main: dict[str, Any] = loaded["argument_specs"]["main"]
    return main


def readme(role: Path) -> str:
    """The text of a role's README."""
    main = specification(role)
    lines = [f"# {role.name}", "", f"{main['short_description']}.", ""]
    lines += [text for paragraph in main.get("description", []) for text in (paragraph, "")]
    if main.get("options"):
        lines += ["| Variable | Type | Default | Meaning |", "|---|---|---|---|"]
        for name, option in main["options"].items():
            kind = option["type"] + (f" of {option['elements']}" if "elements" in option else "")
            default = yaml.safe_dump(option["default"], default_flow_style=True, width=10_000)
            default = default.strip().removesuffix("...").strip()
            choices = f" (one of {', '.join(option['choices'])})" if "choices" in option else ""
            lines.append(f"| `{name}` | {kind} | `{default}` | {option['description']}{choices} |")
        lines.append("")
    return "\n".join([*lines, "Written by `make docs` from `meta/argument_specs.yml`.", ""])


def main() -> None:
    """Write them all."""
    for role in sorted(path for path in ROLES.iterdir() if path.is_dir()):
        (role / "README.md").write_text(readme(role))


if __name__ == "__main__":
    main()
