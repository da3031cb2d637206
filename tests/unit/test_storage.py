"""LocalStore, and what is said of URLs without a store."""

import errno
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepspark.config import StorageConfig
from hepspark.errors import InputError, RunError
from hepspark.storage import checksum, is_s3, join, name_of, store_for, suffix_of
from hepspark.storage.base import collect, matches
from hepspark.storage.local import LocalStore, told


@pytest.fixture
def store() -> LocalStore:
    return LocalStore()


def test_urls() -> None:
    assert is_s3("s3a://b/k")
    assert not is_s3("/s3a/k")
    assert join("s3a://b/", "/x/", "y") == "s3a://b/x/y"
    assert name_of("s3a://b/x/y.ROOT") == "y.ROOT"
    assert suffix_of("s3a://b/x/y.ROOT") == ".root"
    assert isinstance(store_for("/tmp", StorageConfig()), LocalStore)


def test_what_is_written_is_read(store: LocalStore, tmp_path: Path) -> None:
    url = str(tmp_path / "a" / "b")
    assert not store.exists(url)
    store.write(url, b"one")
    store.write(url, b"two")
    assert store.read(url) == b"two"
    with store.open(url) as stream:
        assert stream.seek(1) == 1
        assert stream.read() == b"wo"
    assert checksum(store, url) == "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"
    store.delete(url)
    store.delete(url)
    assert not store.exists(url)
    assert not store.exists(str(tmp_path / "a"))


def test_the_mode_is_what_the_umask_gives(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    store.write(str(tmp_path / "written"), b"")
    store.create(str(tmp_path / "created"), b"")
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_upload_moves_a_file_in(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "from").write_bytes(b"content")
    store.upload(tmp_path / "from", str(tmp_path / "deep" / "to"))
    assert store.read(str(tmp_path / "deep" / "to")) == b"content"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["to"]
    with pytest.raises(InputError, match="from: no such file"):
        store.upload(tmp_path / "from", str(tmp_path / "deep" / "to"))
    assert store.read(str(tmp_path / "deep" / "to")) == b"content"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_a_failure_of_the_run(number: int) -> None:
    with pytest.raises(RunError, match="x: cannot be written: the disk is full; free some space"), told("x", "written"):
        raise OSError(number, "")


def test_a_missing_file_and_a_file_in_the_way(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="missing: no such file"):
        store.read(str(tmp_path / "missing"))
    with pytest.raises(InputError, match="file/x: cannot be written"):
        store.write(str(tmp_path / "file" / "x"), b"")
    assert store.walk(str(tmp_path / "missing")) == []
    assert store.walk(str(tmp_path / "file")) == []


def test_walk_hides_what_is_unfinished(store: LocalStore, tmp_path: Path) -> None:
    for name in ("b/x", "a", ".hidden", ".hepspark-part", "b/.hepspark-part"):
        store.write(str(tmp_path / name), b"12")
    assert [(entry.url, entry.size) for entry in store.walk(str(tmp_path))] == [
        (str(tmp_path / name), 2) for name in (".hidden", "a", "b/x")
    ]


@pytest.mark.parametrize(
    ("path", "pattern", "expected"),
    [
        ("a/b.root", "a/*.root", True),
        ("a/b/c.root", "a/*.root", False),
        ("a/b/c.root", "a/**/*.root", True),
        ("a/c.root", "a/**/*.root", True),
        ("c.root", "**/*.root", True),
        ("a/b/c", "a/**", True),
        ("a", "a/**", False),
        ("a/.b/c", "a/**", False),
        ("a/.b", "a/*", False),
        ("a/.b", "a/.*", True),
        ("a/b1", "a/b[0-9]", True),
        ("a/bx", "a/b[!0-9]", True),
        ("a/b/x", "a/b[!0-9]x", False),
        ("ab", "a?", True),
        ("a/", "a?", False),
        ("a", "a", True),
        ("a/b/a/b", "**/**/**/b", True),
    ],
)
def test_patterns(path: str, pattern: str, expected: bool) -> None:
    assert matches(path, pattern) is expected


ODD = ("a[1]", "a*b", "wh?t", "[x]", "a b", "naïve é", "50%", "#1", "$HOME", "it's", '"q"', "x" * 200)


@pytest.mark.parametrize("name", ODD)
def test_a_name_that_is_there_means_itself_whatever_signs_are_in_it(tmp_path: Path, name: str) -> None:
    store = LocalStore()
    for place in (f"{name}/1.root", f"{name}/2.root", "a1/3.root", "aXb/4.root", "what/5.root", "x/6.root"):
        store.write(str(tmp_path / place), b"")

    def found(pattern: str) -> list[str]:
        return [entry.url.removeprefix(f"{tmp_path}/") for entry in store.glob(f"{tmp_path}/{pattern}")]

    assert found(f"{name}/*.root") == [f"{name}/1.root", f"{name}/2.root"]
    assert found(f"{name}/[2-9].root") == [f"{name}/2.root"]
    assert found(f"{name}/1.root") == [f"{name}/1.root"]
    assert [entry.url for entry in store.walk(f"{tmp_path}/{name}")] == [f"{tmp_path}/{name}/{n}.root" for n in (1, 2)]


def test_a_pattern_stays_one_where_no_such_name_is_there(tmp_path: Path) -> None:
    store = LocalStore()
    for place in ("a1/3.root", "aXb/4.root"):
        store.write(str(tmp_path / place), b"")
    assert [entry.url for entry in store.glob(f"{tmp_path}/a[1]/*.root")] == [f"{tmp_path}/a1/3.root"]


NAMES = st.text(alphabet="ab.", min_size=1, max_size=3).filter(lambda name: name.strip("."))
PATTERN_PARTS = st.one_of(
    st.text(alphabet="ab.*?", min_size=1, max_size=3).filter(lambda part: part.strip(".") and "**" not in part),
    st.sampled_from(["**", "*", "[ab]*", "[!a]", ".*", "?b"]),
)


@given(
    paths=st.sets(st.lists(NAMES, min_size=1, max_size=3).map(tuple), min_size=1, max_size=6),
    patterns=st.lists(st.lists(PATTERN_PARTS, min_size=1, max_size=3).map("/".join), min_size=8, max_size=16),
)
def test_patterns_mean_what_they_mean_on_the_disk(paths: set[tuple[str, ...]], patterns: list[str]) -> None:
    # A name cannot be both a file and a folder on a disk.
    paths = {path for path in paths if not any(path != other and path == other[: len(path)] for other in paths)}
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            file = Path(folder, *path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        for pattern in patterns:
            found = [entry.url.removeprefix(f"{folder}/") for entry in LocalStore().glob(f"{folder}/{pattern}")]
            assert found == sorted("/".join(path) for path in paths if matches("/".join(path), pattern)), pattern


def test_many_stars_take_no_time() -> None:
    assert not matches("/".join("a" * 40), "/".join(["**"] * 30 + ["b"]))


def test_collect_goes_on_where_a_stream_broke() -> None:
    starts: list[int] = []

    def stream(offset: int) -> Iterator[bytes]:
        starts.append(offset)
        yield b"0123456789"[offset : offset + 3]
        if offset < 6:
            raise ConnectionError

    assert collect(stream, 10, 1, (ConnectionError,)) == b"0123456789"
    assert starts == [0, 3, 6, 9]


@pytest.mark.parametrize(("error", "expected"), [(ConnectionError, ConnectionError), (None, EOFError)])
def test_collect_gives_up_on_a_stream_that_brings_nothing(
    error: type[Exception] | None, expected: type[Exception]
) -> None:
    starts: list[int] = []

    def stream(offset: int) -> Iterator[bytes]:
        starts.append(offset)
        if error:
            raise error
        yield b""

    with pytest.raises(expected):
        collect(stream, 10, 3, (ConnectionError,))
    assert starts == [0, 0, 0]


@pytest.mark.parametrize(
    ("configured", "variable", "expected"),
    [(None, None, "us-east-1"), (None, "eu-west-3", "eu-west-3"), ("eu-central-1", "eu-west-3", "eu-central-1")],
)
def test_the_region_is_the_configured_one_or_that_of_the_environment(monkeypatch, configured, variable, expected):
    from hepspark.storage.s3_client import client, forget_clients

    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    if variable:
        monkeypatch.setenv("AWS_REGION", variable)
    else:
        monkeypatch.delenv("AWS_REGION", raising=False)
    forget_clients()
    try:
        assert client(StorageConfig(region=configured)).meta.region_name == expected
    finally:
        forget_clients()
