"""Which ROOT files an ingestion takes: resolved from its configuration, looked at, and checked against each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hepspark.config import StorageConfig
from hepspark.dataset import Excluded, Input
from hepspark.errors import InputError
from hepspark.rootfile import BadFileError, Survey, survey
from hepspark.storage import is_pattern, name_of, store_for, suffix_of


@dataclass(frozen=True)
class Source:
    """A file and the class of its events."""

    url: str
    class_name: str


@dataclass(frozen=True)
class Candidate:
    """A file that can be read."""

    source: Source
    survey: Survey


@dataclass(frozen=True)
class Chosen:
    """What is to be done with the files of a run."""

    new: tuple[Candidate, ...]
    known: tuple[Candidate, ...]
    """In the data set already, under this or another path."""
    excluded: tuple[Excluded, ...]


def resolve(wanted: Mapping[str, Sequence[str]], storage: StorageConfig) -> list[Source]:
    """The files behind files, folders and globs.

    Args:
        wanted: Class to URLs; a folder stands for every *.root below it.
        storage: How the stores are reached.

    Raises:
        InputError: a class has no URL, a URL leads to no file, or a file is given for two classes.
    """
    found: dict[str, str] = {}
    for class_name, urls in wanted.items():
        if not urls:
            raise InputError(f"ingest.input.{class_name} names no file; give files, or leave the class out")
        for url in urls:
            for file in _files(url, storage):
                other = found.setdefault(file, class_name)
                if other != class_name:
                    raise InputError(f"{file}: given for two classes, {other} and {class_name}; correct ingest.input")
    return [Source(url, class_name) for url, class_name in found.items()]


def examine(storage: StorageConfig, skip: bool, source: Source) -> Candidate | Excluded:
    """Look at one file; a bad one is set aside where that is wanted.

    Raises:
        BadFileError: the file is bad, and not to be skipped.
        HepsparkError: the store does not give it.
    """
    try:
        return Candidate(source, survey(source.url, storage))
    except BadFileError as error:
        if not skip:
            raise
        return Excluded(name=name_of(source.url), reason=str(error))


def choose(found: Sequence[Candidate | Excluded], known: Sequence[Input], *, skip: bool) -> Chosen:
    """Tell new files from those that the data set holds, by their identity and not by their path.

    Args:
        found: What `examine` returned.
        known: What the data set was made from.
        skip: Whether to set aside copies and altered files.

    Raises:
        InputError: a file is there twice or has changed (unless skipped), or belongs to two classes.
    """
    by_id = {file.file_id: file for file in known}
    seen: dict[str, Candidate] = {}
    excluded = [item for item in found if isinstance(item, Excluded)]
    for candidate in found:
        if isinstance(candidate, Excluded):
            continue
        problem = _problem(candidate, seen.get(candidate.survey.file_id), by_id.get(candidate.survey.file_id))
        if problem is None:
            seen[candidate.survey.file_id] = candidate
        elif skip:
            excluded.append(Excluded(name=name_of(candidate.source.url), reason=problem))
        else:
            raise InputError(f"{problem}; leave one of them out, or let ingest do that with ingest.on_bad_file=skip")
    return Chosen(
        new=tuple(item for file_id, item in seen.items() if file_id not in by_id),
        known=tuple(item for file_id, item in seen.items() if file_id in by_id),
        excluded=tuple(excluded),
    )


def _files(url: str, storage: StorageConfig) -> list[str]:
    store = store_for(url, storage)
    if store.exists(url):
        return [url]
    below = [entry.url for entry in store.walk(url) if suffix_of(entry.url) == ".root"]
    if below:
        return below
    matches = [entry.url for entry in store.glob(url)] if is_pattern(url) else []
    if not matches:
        problem = "no file matches" if is_pattern(url) else "no such file, and no folder with *.root files"
        raise InputError(f"{url}: {problem}; correct ingest.input")
    return matches


def _problem(candidate: Candidate, twin: Candidate | None, known: Input | None) -> str | None:
    """What speaks against a file that has the identity of others."""
    url, class_name = candidate.source.url, candidate.source.class_name
    for other, name, place in (
        (twin, twin.source.url if twin else "", "the inputs"),
        (known, known.name if known else "", "the data set"),
    ):
        other_class = other.source.class_name if isinstance(other, Candidate) else other and other.class_name
        if other_class not in (None, class_name):
            raise InputError(
                f"{url}: this file of class {class_name} is also in {place}, as {name} of class {other_class}; "
                "correct ingest.input"
            )
    if twin and twin.survey.sha256 != candidate.survey.sha256:
        return f"{url}: has the same UUID as {twin.source.url}, but other content"
    if twin:
        return f"{url}: is the same file as {twin.source.url}"
    if known and known.sha256 != candidate.survey.sha256:
        return f"{url}: has the same UUID as {known.name} of the data set, but other content"
    return None
