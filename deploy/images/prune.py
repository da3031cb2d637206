"""Leaving out of an image what nothing in it uses, by rules that say why."""

import fnmatch
import shutil
import zipfile
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deploy.errors import DeployError, InputError


class Model(BaseModel):
    """Read once, never changed, and closed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FileRule(Model):
    """Files and folders that are left out."""

    why: str
    remove: Annotated[tuple[str, ...], Field(min_length=1)]
    """Patterns below the tree, `**` for any folders."""
    keep: tuple[str, ...] = ()
    """Patterns of what stays although it matches, with what is in it."""


class JarRule(Model):
    """Members of jars that are left out."""

    why: str
    jar: str
    """Pattern of the jars, below the tree."""
    remove: Annotated[tuple[str, ...], Field(min_length=1)]
    """Patterns of members, `*` for any characters, also slashes."""


class Rules(Model):
    """A file of rules."""

    files: tuple[FileRule, ...] = ()
    jars: tuple[JarRule, ...] = ()


def load(path: Path) -> Rules:
    """The rules of a YAML file.

    Raises:
        InputError: It cannot be read, or a key is wrong.
    """
    try:
        return Rules.model_validate(yaml.safe_load(path.read_text()))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise InputError(f"{path}: {error}") from None


def prune(root: Path, rules: Rules) -> None:
    """Apply rules to a tree.

    Raises:
        DeployError: A pattern finds nothing, because the libraries changed: the rule is to be mended or dropped.
    """
    for jar_rule in rules.jars:
        _prune_jars(root, jar_rule)
    for file_rule in rules.files:
        _prune_files(root, file_rule)


def _prune_files(root: Path, rule: FileRule) -> None:
    kept = [path for pattern in rule.keep for path in _found(root, pattern)]
    for pattern in rule.remove:
        for path in _found(root, pattern):
            if any(path == keep or keep in path.parents or path in keep.parents for keep in kept):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)  # in a folder that the same pattern has removed


def _prune_jars(root: Path, rule: JarRule) -> None:
    for jar in _found(root, rule.jar):
        unused = {pattern: fnmatch.filter(_names(jar), pattern) for pattern in rule.remove}
        if idle := [pattern for pattern, names in unused.items() if not names]:
            raise DeployError(f"{jar.name} has no {', '.join(idle)}: mend the rule '{rule.why}'")
        _rewrite(jar, {name for names in unused.values() for name in names})


def _rewrite(jar: Path, without: set[str]) -> None:
    new = jar.with_suffix(".new")
    with zipfile.ZipFile(jar) as before, zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED) as after:
        for member in before.infolist():
            if member.filename not in without:
                after.writestr(member, before.read(member), compress_type=member.compress_type)
    new.replace(jar)


def _names(jar: Path) -> list[str]:
    with zipfile.ZipFile(jar) as archive:
        return archive.namelist()


def _found(root: Path, pattern: str) -> list[Path]:
    paths = sorted(root.glob(pattern))
    if not paths:
        raise DeployError(f"{pattern} is not there: mend the rule that names it")
    return paths
