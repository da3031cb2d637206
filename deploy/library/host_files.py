"""Ansible module: several small files of a host, written in one visit."""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: host_files
short_description: Write several small files
description: >-
  What ansible.builtin.copy does file by file, with a task for the folder before it, in one visit of the host instead of
  three a file: a run that changes nothing consists of visits. Missing folders are made. The owner is who runs it.
options:
  files:
    type: dict
    required: true
    description: Content by path; null removes the file
  mode: {type: str, default: "0644", description: Mode of each file}
  pending:
    type: path
    description: >-
      A file that is made before the first change, and that the handler removes when it has acted on the change. While
      it is there the task reports a change, so that the next run makes up for a handler that a broken run lost.
"""
EXAMPLES = """
- host_files:
    files:
      /etc/modules-load.d/example.conf: "br_netfilter\\n"
      /etc/old.conf: null
"""
RETURN = """
paths: {type: list, elements: str, description: The files that were changed, returned: always}
"""


def differs(path: Path, content: str | None, mode: int) -> bool:
    """Whether a file is not as wanted."""
    if content is None:
        return path.exists()
    return not path.is_file() or path.read_bytes() != content.encode() or path.stat().st_mode & 0o7777 != mode


def put(path: Path, content: str | None, mode: int) -> None:
    """Bring a file about; it is there whole or not at all."""
    if content is None:
        path.unlink()
        return
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)  # nobody else reads it before it has its mode
    new.write_bytes(content.encode())
    new.chmod(mode)
    new.replace(path)


def main() -> None:
    """Answer to Ansible."""
    module = AnsibleModule(
        argument_spec={
            "files": {"type": "dict", "required": True},
            "mode": {"type": "str", "default": "0644"},
            "pending": {"type": "path"},
        },
        supports_check_mode=True,
    )
    wanted: dict[str, Any] = module.params["files"]
    mode = int(module.params["mode"], 8)
    mark = Path(module.params["pending"]) if module.params["pending"] else None
    name, changed = str(mark), []
    try:
        due = mark is not None and mark.exists()
        for name, content in wanted.items():
            if differs(Path(name), content, mode):
                changed.append(name)
                if module.check_mode:
                    continue
                if mark and not due:
                    put(mark, "", 0o644)
                    due = True
                put(Path(name), content, mode)
    except OSError as error:
        module.fail_json(msg=f"{name}: {error.strerror or error}", paths=changed)
    module.exit_json(changed=bool(changed) or due, paths=changed)


if __name__ == "__main__":
    main()
