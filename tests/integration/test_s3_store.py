"""S3Store against a real server, and the message for each way a store fails."""

import hashlib
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

from hepspark.config import StorageConfig
from hepspark.errors import HepsparkError, InputError, RunError
from hepspark.storage import check_conditional_writes, join, store_for
from hepspark.storage.s3 import S3Store
from hepspark.storage.s3_client import client, forget_clients, split
from tests.integration.middleman import Answer, Request, forward, free_port_url, serving, without_header
from tests.integration.s3_servers import Server, on_every_make

ROUNDS = 40
WRITERS = 8


@pytest.fixture
def store(s3: StorageConfig) -> S3Store:
    return S3Store(s3)


def through(address: str, **changes: object) -> StorageConfig:
    return StorageConfig(endpoint=address, **changes)


@on_every_make
def test_what_is_written_is_read(store: S3Store, bucket: str) -> None:
    url = join(bucket, "a", "b c+ü.bin")
    assert not store.exists(url)
    store.write(url, b"one")
    store.write(url, b"two")
    assert store.read(url) == b"two"
    assert store.exists(url)
    assert not store.exists(join(bucket, "a"))
    store.delete(url)
    store.delete(url)
    assert not store.exists(url)


@on_every_make
def test_empty_object(store: S3Store, bucket: str) -> None:
    store.write(join(bucket, "empty"), b"")
    assert store.read(join(bucket, "empty")) == b""


@on_every_make
def test_seek_and_read_give_the_ranges(store: S3Store, bucket: str) -> None:
    content = np.random.default_rng(1).bytes(3_000_000)
    url = join(bucket, "random")
    store.write(url, content)
    with store.open(url) as stream:
        for start, length in [(0, 10), (2_999_990, 100), (1_048_570, 20), (5, 2_500_000), (3_000_000, 1)]:
            stream.seek(start)
            assert stream.tell() == start
            assert stream.read(length) == content[start : start + length]
        assert stream.seek(-7, os.SEEK_END) == 2_999_993
        assert stream.read() == content[-7:]
        stream.seek(1)
        assert stream.read() == content[1:]
        with pytest.raises(ValueError, match="before the beginning"):
            stream.seek(-3_000_001, os.SEEK_END)


@on_every_make
def test_uproot_and_pyarrow_read_through_open(store: S3Store, bucket: str, tmp_path: Path) -> None:
    values = np.arange(200_000, dtype=np.float64)
    with uproot.recreate(tmp_path / "events.root") as file:
        file["Delphes"] = {"x": values, "n": ak.Array([[1.0, 2.0]] * len(values))}
    pq.write_table(pa.table({"x": values, "y": -values}), tmp_path / "events.parquet", row_group_size=50_000)
    for name in ("events.root", "events.parquet"):
        store.upload(tmp_path / name, join(bucket, name))
    with store.open(join(bucket, "events.root")) as stream, uproot.open(stream) as file:
        tree = file["Delphes"]
        assert np.array_equal(tree["x"].array(entry_start=150_000, library="np"), values[150_000:])
        assert ak.all(tree["n"].array() == ak.Array([[1.0, 2.0]]))
    with store.open(join(bucket, "events.parquet")) as stream:
        assert pq.ParquetFile(stream).read_row_group(3, ["y"])["y"].to_numpy()[-1] == -199_999
    assert pq.read_table(pa.BufferReader(store.read(join(bucket, "events.parquet")))).num_rows == 200_000


@on_every_make
def test_a_replaced_object_is_never_mixed_with_the_old_one(store: S3Store, bucket: str) -> None:
    url = join(bucket, "part")
    store.write(url, b"a" * 3_000_000)
    with store.open(url) as stream:
        assert stream.read(10) == b"a" * 10
        store.write(url, b"b" * 3_000_000)
        stream.seek(2_500_000)
        with pytest.raises(RunError, match="was replaced while it was read"):
            stream.read(10)


@on_every_make
def test_upload_of_several_parts(store: S3Store, bucket: str, tmp_path: Path) -> None:
    content = np.random.default_rng(2).bytes(20 << 20)
    (tmp_path / "large").write_bytes(content)
    store.upload(tmp_path / "large", join(bucket, "large"))
    assert store.read(join(bucket, "large")) == content
    assert store.head(join(bucket, "large"))["ETag"].endswith('-3"')
    assert store.head(join(bucket, "large"))["Metadata"] == {"sha256": hashlib.sha256(content).hexdigest()}


def test_upload_of_a_missing_file(store: S3Store, bucket: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        store.upload(tmp_path / "missing", join(bucket, "x"))


@on_every_make
def test_walk_lists_files_below_a_folder_in_order(store: S3Store, bucket: str) -> None:
    for name in ("d/b", "d/a/x", "d.txt", "dd/a", "d/.hidden", "d/.hepspark-part"):
        store.write(join(bucket, name), b"12345")
    client(store._config).put_object(Bucket=split(bucket)[0], Key="d/empty/", Body=b"")
    assert [(entry.url, entry.size) for entry in store.walk(join(bucket, "d"))] == [
        (join(bucket, name), 5) for name in ("d/.hidden", "d/a/x", "d/b")
    ]
    assert store.walk(join(bucket, "missing")) == []
    assert len(store.walk(bucket)) == 5


@on_every_make
def test_walk_passes_a_thousand(store: S3Store, bucket: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: store.write(join(bucket, f"n/{i:04d}"), b"x"), range(1_005)))
    assert len(store.walk(join(bucket, "n"))) == 1_005


@on_every_make
def test_glob_means_the_same_in_a_folder_and_in_a_bucket(s3: StorageConfig, bucket: str, tmp_path: Path) -> None:
    # What a pattern means is tested at length beside `matches`; this is that both stores go by it.
    for root in (str(tmp_path), bucket):
        odd = ("[x]/1.root", "y*z/2.root", "yz/3.root", "é #%20/4.root")
        for name in ("a", "b/c.root", "b/.d.root", ".e/f.root", "b/g/h.root", "b/.hepspark-x.root", *odd):
            store_for(root, s3).write(join(root, name), b"x")
    empty = ("a/**", "b/[!c]*", "x", "y*z/3.root")
    literal = ("[x]/*.root", "[x]/1.root", "y*z/*", "é #%20/?.root")
    for pattern in ("*", "**", "**/*.root", "b/*.root", "b/.*", ".*/*", "b/c.root", "?", "b/**", *literal, *empty):
        found = [
            [entry.url.removeprefix(root + "/") for entry in store_for(root, s3).glob(f"{root}/{pattern}")]
            for root in (str(tmp_path), bucket)
        ]
        assert found[0] == found[1], pattern
        assert bool(found[0]) == (pattern not in empty), pattern


@on_every_make
@pytest.mark.parametrize("same_content", [False, True])
def test_create_has_one_winner(store: S3Store, bucket: str, same_content: bool) -> None:
    with ThreadPoolExecutor(WRITERS) as pool:
        for number in range(ROUNDS):
            url = join(bucket, f"commits/{number}")
            start = threading.Barrier(WRITERS)

            def write(writer: int, url: str = url, start: threading.Barrier = start) -> bool:
                start.wait()
                return store.create(url, b"same" if same_content else f"writer {writer}".encode())

            won = list(pool.map(write, range(WRITERS)))
            assert won.count(True) == 1, number
            if not same_content:
                assert store.read(url) == f"writer {won.index(True)}".encode()


@on_every_make
def test_create_whose_answer_was_lost_is_known_as_ours(server: Server, bucket: str) -> None:
    puts: list[int] = []

    def lose_first(request: Request) -> Answer:
        answer = forward(server.endpoint, request)
        if request.method == "PUT":
            puts.append(answer.status)
            answer.silent = len(puts) == 1
        return answer

    with serving(lose_first) as address:
        assert S3Store(through(address)).create(join(bucket, "commit"), b"x") is True
        assert puts == [200, 412]
        assert S3Store(through(address)).create(join(bucket, "commit"), b"x") is False


def test_create_tries_again_when_another_writer_is_at_it(server: Server, bucket: str) -> None:
    puts: list[str] = []

    def conflict_first(request: Request) -> Answer:
        if request.method == "PUT":
            puts.append(request.path)
            if len(puts) == 1:
                xml = b"<Error><Code>ConditionalRequestConflict</Code><Message>busy</Message></Error>"
                return Answer(409, {"Content-Type": "application/xml"}, xml)
        return forward(server.endpoint, request)

    with serving(conflict_first) as address:
        assert S3Store(through(address)).create(join(bucket, "commit"), b"x") is True
    assert len(puts) == 2


@on_every_make
def test_conditional_writes_are_found(s3: StorageConfig, bucket: str, tmp_path: Path) -> None:
    check_conditional_writes(join(bucket, "run"), s3)
    check_conditional_writes(str(tmp_path / "run"), s3)
    assert client(s3).list_objects_v2(Bucket=split(bucket)[0])["KeyCount"] == 0
    assert list((tmp_path / "run").iterdir()) == []


@on_every_make
def test_a_store_without_conditional_writes_is_refused(server: Server, s3: StorageConfig, bucket: str) -> None:
    def ignore_condition(request: Request) -> Answer:
        return forward(server.endpoint, without_header(request, "If-None-Match", server.user, server.password))

    with serving(ignore_condition) as address:
        with pytest.raises(InputError, match="overwrites on a conditional write") as refused:
            check_conditional_writes(join(bucket, "run"), through(address))
        assert address in str(refused.value)
    assert client(s3).list_objects_v2(Bucket=split(bucket)[0])["KeyCount"] == 0


@pytest.mark.parametrize("server", ["versitygw-forgetful"], indirect=True)
def test_a_server_without_conditional_writes_is_refused(server: Server, s3: StorageConfig, bucket: str) -> None:
    with pytest.raises(InputError, match=f"{server.endpoint} overwrites on a conditional write"):
        check_conditional_writes(join(bucket, "run"), s3)
    assert client(s3).list_objects_v2(Bucket=split(bucket)[0])["KeyCount"] == 0


@on_every_make
def test_a_broken_read_goes_on_where_it_broke(server: Server, s3: StorageConfig, bucket: str) -> None:
    content = np.random.default_rng(3).bytes(4_000_000)
    S3Store(s3).write(join(bucket, "x"), content)
    ranges: list[str] = []

    def cut(request: Request) -> Answer:
        answer = forward(server.endpoint, request)
        if request.method == "GET":
            ranges.append(request.headers["Range"])
            answer.cut = 1_500_000
        return answer

    with serving(cut) as address:
        assert S3Store(through(address)).read(join(bucket, "x")) == content
    assert len(ranges) == 3
    assert [int(text.removeprefix("bytes=").split("-")[0]) > 0 for text in ranges] == [False, True, True]


def test_a_read_that_never_succeeds_fails_in_one_message(server: Server, s3: StorageConfig, bucket: str) -> None:
    S3Store(s3).write(join(bucket, "x"), b"x" * 1_000)

    def cut(request: Request) -> Answer:
        answer = forward(server.endpoint, request)
        answer.cut = 0 if request.method == "GET" else None
        return answer

    with serving(cut) as address, pytest.raises(RunError, match=f"{bucket}/x: {address}"):
        S3Store(through(address, attempts=2)).read(join(bucket, "x"))


EVERY_CALL = ["open", "read", "write", "create", "upload", "exists", "walk", "glob", "delete"]


def call(store: S3Store, name: str, url: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    arguments = {"write": (url, b"x"), "create": (url, b"x"), "upload": (tmp_path / "file", url)}
    getattr(store, name)(*arguments.get(name, (url,)))


@pytest.mark.usefixtures("aws_environment")
@pytest.mark.parametrize("name", EVERY_CALL)
def test_no_credentials(server: Server, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="s3a://b/k: no S3 credentials found; set AWS_ACCESS_KEY_ID"):
        call(S3Store(server.storage), name, "s3a://b/k", tmp_path)


@on_every_make
@pytest.mark.parametrize("name", EVERY_CALL)
def test_wrong_secret(
    server: Server, bucket: str, aws_environment: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    aws_environment.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    forget_clients()
    with pytest.raises(InputError, match="refuses the credentials or the access") as refused:
        call(S3Store(server.storage), name, join(bucket, "k"), tmp_path)
    assert server.endpoint in str(refused.value)
    assert refused.value.exit_code == 2


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize("name", EVERY_CALL)
def test_unreachable_endpoint_fails_in_seconds(tmp_path: Path, name: str) -> None:
    address = free_port_url()
    begun = time.monotonic()
    with pytest.raises(InputError, match="cannot be reached") as refused:
        call(S3Store(through(address, attempts=2)), name, "s3a://b/k", tmp_path)
    assert address in str(refused.value)
    assert time.monotonic() - begun < 5


@pytest.mark.usefixtures("s3")
def test_unreachable_endpoint_with_the_default_attempts() -> None:
    begun = time.monotonic()
    with pytest.raises(InputError, match="cannot be reached"):
        S3Store(through(free_port_url())).walk("s3a://b/k")
    assert time.monotonic() - begun < 15


GARBAGE = {
    "500 in HTML": Answer(500, {"Content-Type": "text/html"}, b"<html>Oops</html>"),
    "200 in HTML": Answer(200, {"Content-Type": "text/html"}, b"<html><br>Welcome</html>"),
    "200 and nothing": Answer(200),
    "silence": Answer(200, silent=True),
}


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *((kind, name) for kind in ("500 in HTML", "silence") for name in ("walk", "glob", "create", "exists")),
        ("200 in HTML", "walk"),  # a bare 200 is all that a store answers to the others
        ("200 in HTML", "glob"),
        ("200 and nothing", "walk"),
    ],
)
def test_an_endpoint_that_is_no_store(tmp_path: Path, kind: str, name: str) -> None:
    with serving(lambda _: GARBAGE[kind]) as address:
        with pytest.raises(InputError, match=r"S3 store does|cannot be reached") as refused:
            call(S3Store(through(address, attempts=2)), name, "s3a://b/k", tmp_path)
        assert address in str(refused.value)


@pytest.mark.usefixtures("s3")
def test_a_store_in_trouble_is_not_the_users_mistake() -> None:
    xml = b"<Error><Code>InternalError</Code><Message>disk lost</Message></Error>"
    with (
        serving(lambda _: Answer(500, {"Content-Type": "application/xml"}, xml)) as address,
        pytest.raises(RunError, match="answered InternalError: disk lost"),
    ):
        S3Store(through(address, attempts=2)).walk("s3a://b/k")


@on_every_make
@pytest.mark.parametrize("name", ["write", "create", "upload", "walk", "glob"])
def test_no_such_bucket(store: S3Store, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="no such bucket"):
        call(store, name, "s3a://no-such-bucket/k", tmp_path)


@on_every_make
@pytest.mark.parametrize("name", ["open", "read"])
def test_no_such_object(store: S3Store, bucket: str, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="/k: no such object"):
        call(store, name, join(bucket, "k"), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"endpoint": "localhost:9000"},
            "storage.endpoint=localhost:9000 is not an address; expected http://host:port",
        ),
        ({"ca_bundle": "/no/such/file"}, "storage.ca_bundle: /no/such/file cannot be read"),
    ],
)
def test_configuration_that_cannot_be_used(s3: StorageConfig, changes: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        S3Store(s3.model_copy(update=changes)).walk("s3a://b/k")


def test_a_profile_that_is_not_there(s3: StorageConfig, aws_environment: pytest.MonkeyPatch) -> None:
    aws_environment.setenv("AWS_PROFILE", "nobody")
    forget_clients()
    with pytest.raises(InputError, match=r"nobody.*correct AWS_PROFILE"):
        S3Store(s3).walk("s3a://b/k")


def test_a_name_that_no_bucket_has(store: S3Store) -> None:
    with pytest.raises(HepsparkError, match="not a name that S3 allows") as refused:
        store.read("s3a://a bucket/k")
    assert refused.value.exit_code == 2


def test_credentials_from_the_files(server: Server, bucket: str, aws_environment: pytest.MonkeyPatch) -> None:
    path = Path(os.environ["AWS_SHARED_CREDENTIALS_FILE"])
    path.write_text(f"[lab]\naws_access_key_id={server.user}\naws_secret_access_key={server.password}\n")
    aws_environment.delenv("AWS_ACCESS_KEY_ID")
    aws_environment.delenv("AWS_SECRET_ACCESS_KEY")
    aws_environment.setenv("AWS_PROFILE", "lab")
    forget_clients()
    assert S3Store(server.storage).walk(bucket) == []


def test_endpoint_from_the_environment(server: Server, bucket: str, aws_environment: pytest.MonkeyPatch) -> None:
    aws_environment.setenv("AWS_ENDPOINT_URL", server.endpoint)
    forget_clients()
    assert S3Store(StorageConfig()).walk(bucket) == []
