"""`data put`, `get` and `ls` against a real server."""

import hashlib
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hepspark import notebook
from hepspark.config import Config, StorageConfig
from hepspark.errors import InputError, RunError
from hepspark.steps import data
from hepspark.storage import join
from hepspark.storage.s3 import S3Store
from hepspark.storage.s3_client import client, forget_clients, split
from tests.integration.middleman import Answer, Request, forward, free_port_url, serving
from tests.integration.s3_servers import Server, on_every_make

PART = 5 << 20


def random_file(path: Path, size: int, seed: int = 1) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = np.random.default_rng(seed).bytes(size)
    path.write_bytes(content)
    return content


def at(config: Config, address: str, attempts: int = 1) -> Config:
    return config.model_copy(update={"storage": StorageConfig(endpoint=address, attempts=attempts)})


def unfinished_uploads(config: Config, url: str) -> list[str]:
    bucket, key = split(url)
    found = client(config.storage).list_multipart_uploads(Bucket=bucket, Prefix=key).get("Uploads", [])
    return [upload["UploadId"] for upload in found]


@on_every_make
@pytest.mark.parametrize("size", [0, 1, PART, PART + 1, 2 * PART, 3 * PART + 17])
def test_a_file_there_and_back(data_config: Config, bucket: str, tmp_path: Path, size: int) -> None:
    content = random_file(tmp_path / "in" / "events.root", size)
    url = join(bucket, "raw", "events.root")
    sent = data.put(data_config, tmp_path / "in" / "events.root", url)
    head = S3Store(data_config.storage).head(url)
    assert head["ContentLength"] == size
    assert head["Metadata"]["sha256"] == hashlib.sha256(content).hexdigest() == sent["files"][0]["sha256"]
    assert ("-" in head["ETag"]) == (size > PART)
    got = data.get(data_config, url, tmp_path / "out" / "copy.root")
    assert (tmp_path / "out" / "copy.root").read_bytes() == content
    assert (got["files"][0]["verified_by"], got["moved_bytes"]) == ("sha256", size)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["copy.root"]


@on_every_make
def test_a_folder_there_and_back(data_config: Config, bucket: str, tmp_path: Path) -> None:
    names = ["a.root", "deep/er/b.root", "deep/c d+ü.root", ".hidden", "large.root"]
    contents = {
        name: random_file(tmp_path / "in" / name, 12 << 20 if name == "large.root" else 1000 + seed, seed)
        for seed, name in enumerate(names)
    }
    sent = data.put(data_config, tmp_path / "in", join(bucket, "raw/"))
    assert sent["moved_files"] == 5
    assert [entry["url"] for entry in data.ls(data_config, join(bucket, "raw"))["entries"]] == sorted(
        join(bucket, "raw", name) for name in names
    )
    data.get(data_config, join(bucket, "raw"), tmp_path / "out")
    assert {
        path.relative_to(tmp_path / "out").as_posix(): path.read_bytes()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    } == contents


def test_several_sources_become_a_folder(data_config: Config, bucket: str, tmp_path: Path) -> None:
    random_file(tmp_path / "a.root", 10)
    random_file(tmp_path / "set" / "b.root", 10)
    data.put(data_config, [tmp_path / "a.root", tmp_path / "set"], join(bucket, "raw"))
    urls = [entry["url"] for entry in data.ls(data_config, bucket)["entries"]]
    assert urls == [join(bucket, "raw/a.root"), join(bucket, "raw/set/b.root")]
    (tmp_path / "other").mkdir()
    random_file(tmp_path / "other" / "a.root", 10)
    with pytest.raises(InputError, match=r"both .* would be written there"):
        data.put(data_config, [tmp_path / "a.root", tmp_path / "other" / "a.root"], join(bucket, "x"))


def test_what_is_there_is_neither_sent_nor_received_again(
    server: Server, data_config: Config, bucket: str, tmp_path: Path
) -> None:
    random_file(tmp_path / "in" / "small", 1000)
    random_file(tmp_path / "in" / "large", 12 << 20)
    data.put(data_config, tmp_path / "in", bucket)
    data.get(data_config, bucket, tmp_path / "out")
    moved: list[str] = []

    def watch(request: Request) -> Answer:
        if request.method in ("PUT", "POST") or (request.method == "GET" and "Range" in request.headers):
            moved.append(request.path)
        return forward(server.endpoint, request)

    with serving(watch) as address:
        assert data.put(at(data_config, address), tmp_path / "in", bucket)["moved_files"] == 0
        assert data.get(at(data_config, address), bucket, tmp_path / "out")["moved_files"] == 0
        assert moved == []
        (tmp_path / "in" / "small").write_bytes(b"x" * 1000)
        (tmp_path / "out" / "large").write_bytes(b"y" * (12 << 20))
        assert data.put(at(data_config, address), tmp_path / "in", bucket)["moved_files"] == 1
        got = data.get(at(data_config, address), bucket, tmp_path / "out")
        assert got["moved_files"] == 2
    assert (tmp_path / "out" / "large").read_bytes() == (tmp_path / "in" / "large").read_bytes()


@on_every_make
def test_objects_of_other_programs_are_compared_by_md5_or_size(
    data_config: Config, bucket: str, tmp_path: Path
) -> None:
    content = random_file(tmp_path / "x", 12 << 20)
    S3Store(data_config.storage).write(join(bucket, "plain"), content)
    client(data_config.storage).upload_file(str(tmp_path / "x"), *split(join(bucket, "parts")))
    S3Store(data_config.storage).upload(tmp_path / "x", join(bucket, "ours"))
    assert data.get(data_config, join(bucket, "plain"), tmp_path / "1")["files"][0]["verified_by"] == "md5"
    assert data.get(data_config, join(bucket, "parts"), tmp_path / "2")["files"][0]["verified_by"] == "size"
    assert data.get(data_config, join(bucket, "ours"), tmp_path / "3")["files"][0]["verified_by"] == "sha256"
    assert data.get(data_config, join(bucket, "plain"), tmp_path / "1")["moved_files"] == 0
    assert data.put(data_config, tmp_path / "x", join(bucket, "plain"))["moved_files"] == 0
    assert (tmp_path / "2").read_bytes() == content


@on_every_make
def test_an_interrupted_put_does_not_send_its_parts_again(
    server: Server, data_config: Config, bucket: str, tmp_path: Path
) -> None:
    content = random_file(tmp_path / "large", 8 * PART + 5)
    url = join(bucket, "large")
    accepted: list[int] = []

    def break_after_five(request: Request) -> Answer:
        if request.is_part and int(request.query["partNumber"]) > 5:
            return Answer(200, silent=True)
        answer = forward(server.endpoint, request)
        if request.is_part and answer.status == 200:
            accepted.append(int(request.query["partNumber"]))
        return answer

    with serving(break_after_five) as address, pytest.raises(InputError, match="cannot be reached"):
        data.put(at(data_config, address), tmp_path / "large", url)
    assert sorted(accepted) == [1, 2, 3, 4, 5]
    assert not S3Store(data_config.storage).exists(url)
    assert len(unfinished_uploads(data_config, url)) == 1

    again: list[int] = []
    bytes_again: list[int] = []

    def count(request: Request) -> Answer:
        if request.is_part:
            again.append(int(request.query["partNumber"]))
            bytes_again.append(len(request.body))
        return forward(server.endpoint, request)

    with serving(count) as address:
        result = data.put(at(data_config, address), tmp_path / "large", url)
    assert result["files"][0]["status"] == "resumed"
    assert sorted(again + accepted) == list(range(1, 10))
    assert sum(bytes_again) == len(content) - sum(PART if part < 9 else 5 for part in accepted)
    assert S3Store(data_config.storage).read(url) == content
    assert unfinished_uploads(data_config, url) == []


def begin_upload(config: Config, url: str, parts: list[bytes], sha256: str) -> None:
    bucket, key = split(url)
    s3 = client(config.storage)
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key, Metadata={"sha256": sha256})["UploadId"]
    for number, part in enumerate(parts, 1):
        s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=part)


def test_the_upload_of_another_file_is_not_continued(data_config: Config, bucket: str, tmp_path: Path) -> None:
    content = random_file(tmp_path / "large", 2 * PART + 5)
    url = join(bucket, "large")
    begin_upload(data_config, url, [b"z" * PART], "of another file")
    theirs = unfinished_uploads(data_config, url)
    assert data.put(data_config, tmp_path / "large", url)["files"][0]["status"] == "sent"
    assert S3Store(data_config.storage).read(url) == content
    assert unfinished_uploads(data_config, url) == theirs


def test_a_file_that_changed_only_at_its_end_gets_its_own_checksum(
    data_config: Config, bucket: str, tmp_path: Path
) -> None:
    content = random_file(tmp_path / "large", 2 * PART + 5)
    url = join(bucket, "large")
    begin_upload(data_config, url, [content[:PART]], hashlib.sha256(b"before the change").hexdigest())
    data.put(data_config, tmp_path / "large", url)
    assert S3Store(data_config.storage).head(url)["Metadata"]["sha256"] == hashlib.sha256(content).hexdigest()
    data.get(data_config, url, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content


def test_a_part_that_is_damaged_on_the_way_is_refused(
    server: Server, data_config: Config, bucket: str, tmp_path: Path
) -> None:
    random_file(tmp_path / "large", 2 * PART)
    random_file(tmp_path / "small", 100)

    def damage(request: Request) -> Answer:
        if request.method == "PUT" and request.body:
            request.body = b"?" + request.body[1:]
            request.headers["X-Amz-Content-Sha256"] = hashlib.sha256(request.body).hexdigest()
        return forward(server.endpoint, request)

    for name in ("large", "small"):
        with serving(damage) as address, pytest.raises((RunError, InputError)):
            data.put(at(data_config, address), tmp_path / name, join(bucket, name))
        assert not S3Store(data_config.storage).exists(join(bucket, name))


def test_a_file_that_changes_while_it_is_sent_is_refused(
    server: Server, data_config: Config, bucket: str, tmp_path: Path
) -> None:
    random_file(tmp_path / "large", 3 * PART)

    def change(request: Request) -> Answer:
        if request.method == "POST" and "uploads" in request.path:
            random_file(tmp_path / "large", 3 * PART, seed=2)
        return forward(server.endpoint, request)

    with serving(change) as address, pytest.raises(RunError, match="changed while it was sent"):
        data.put(at(data_config, address), tmp_path / "large", join(bucket, "large"))
    assert not S3Store(data_config.storage).exists(join(bucket, "large"))


def test_an_interrupted_get_goes_on_where_it_was(
    server: Server, data_config: Config, bucket: str, tmp_path: Path
) -> None:
    content = random_file(tmp_path / "large", 8 * PART + 5)
    url = join(bucket, "large")
    data.put(data_config, tmp_path / "large", url)
    starts: list[int] = []

    def watch(request: Request, limit: int) -> Answer:
        if request.method == "GET":
            start = int(request.headers["Range"].removeprefix("bytes=").split("-")[0])
            starts.append(start)
            if start >= limit:
                return Answer(200, silent=True)
        return forward(server.endpoint, request)

    target = tmp_path / "out" / "large"
    with serving(lambda request: watch(request, 4 * PART)) as address, pytest.raises(InputError):
        data.get(at(data_config, address), url, target)
    assert not target.exists()
    (partial,) = target.parent.iterdir()
    assert partial.stat().st_size == 4 * PART
    starts.clear()
    with serving(lambda request: watch(request, 99 * PART)) as address:
        result = data.get(at(data_config, address), url, target)
    assert sorted(starts) == [part * PART for part in range(4, 9)]
    assert result["files"][0]["status"] == "resumed"
    assert target.read_bytes() == content
    assert list(target.parent.iterdir()) == [target]


def test_what_was_begun_of_a_replaced_object_is_not_used(
    server: Server, data_config: Config, bucket: str, tmp_path: Path
) -> None:
    url = join(bucket, "large")
    random_file(tmp_path / "large", 4 * PART)
    data.put(data_config, tmp_path / "large", url)

    def stop_halfway(request: Request) -> Answer:
        if request.method == "GET" and not request.headers["Range"].startswith("bytes=0-"):
            return Answer(200, silent=True)
        return forward(server.endpoint, request)

    with serving(stop_halfway) as address, pytest.raises(InputError):
        data.get(at(data_config, address), url, tmp_path / "out" / "large")
    content = random_file(tmp_path / "large", 4 * PART, seed=2)
    data.put(data_config, tmp_path / "large", url)
    assert data.get(data_config, url, tmp_path / "out" / "large")["files"][0]["status"] == "received"
    assert (tmp_path / "out" / "large").read_bytes() == content
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_content_that_is_not_what_was_stored_never_appears(data_config: Config, bucket: str, tmp_path: Path) -> None:
    bucket_name, _ = split(bucket)
    client(data_config.storage).put_object(Bucket=bucket_name, Key="x", Body=b"data", Metadata={"sha256": "0" * 64})
    with pytest.raises(RunError, match=r"SHA-256 is 3a6e.*, but 0000"):
        data.get(data_config, join(bucket, "x"), tmp_path / "x")
    assert list(tmp_path.glob("*x*")) == []


def test_get_does_not_leave_the_target(server: Server, data_config: Config, bucket: str, tmp_path: Path) -> None:
    S3Store(data_config.storage).write(join(bucket, "d/evil"), b"x")

    def rename(request: Request) -> Answer:
        answer = forward(server.endpoint, request)
        answer.body = answer.body.replace(b"d/evil", b"d/../../evil")
        answer.headers.pop("Content-Length", None)
        return answer

    with serving(rename) as address, pytest.raises(InputError, match="cannot become a file below"):
        data.get(at(data_config, address), join(bucket, "d"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("step", "parts_before"), [("put", 3), ("get", 3)])
def test_interrupt_leaves_a_state_to_go_on_from(
    server: Server, data_config: Config, bucket: str, tmp_path: Path, step: str, parts_before: int
) -> None:
    content = random_file(tmp_path / "large", 12 * PART)
    url = join(bucket, "large")
    if step == "get":
        data.put(data_config, tmp_path / "large", url)
    passed: list[str] = []
    child: list[subprocess.Popen[str]] = []

    def interrupt(request: Request) -> Answer:
        answer = forward(server.endpoint, request)
        if request.is_part or (request.method == "GET" and "Range" in request.headers):
            passed.append(request.path)
            if len(passed) == parts_before:
                child[0].send_signal(signal.SIGINT)
        return answer

    program = """
import sys
from pathlib import Path
from types import SimpleNamespace
from hepspark.config import Config, DataConfig, StorageConfig
from hepspark.steps import data
config = Config(storage=StorageConfig(endpoint=sys.argv[2]), data=DataConfig(part_mb=5, threads=2))
first, second = (Path(sys.argv[3]), sys.argv[4]) if sys.argv[1] == "put" else (sys.argv[3], Path(sys.argv[4]))
getattr(data, sys.argv[1])(config, first, second)
"""
    target = tmp_path / "out" / "large"
    first, second = (str(tmp_path / "large"), url) if step == "put" else (url, str(target))
    with serving(interrupt) as address:
        child.append(
            subprocess.Popen(
                [sys.executable, "-c", program, step, address, first, second], stderr=subprocess.PIPE, text=True
            )
        )
        _, errors = child[0].communicate(timeout=60)
    assert child[0].returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in errors
    assert len(passed) < 12
    if step == "put":
        assert not S3Store(data_config.storage).exists(url)
        assert data.put(data_config, tmp_path / "large", url)["files"][0]["status"] == "resumed"
        assert S3Store(data_config.storage).read(url) == content
    else:
        assert not target.exists()
        assert data.get(data_config, url, target)["files"][0]["status"] in ("resumed", "received")
        assert target.read_bytes() == content


def test_two_gets_of_one_file_do_not_mix(server: Server, data_config: Config, bucket: str, tmp_path: Path) -> None:
    random_file(tmp_path / "large", 2 * PART)
    url = join(bucket, "large")
    data.put(data_config, tmp_path / "large", url)
    refused: list[str] = []

    def meanwhile(request: Request) -> Answer:
        if request.method == "GET" and not refused:
            refused.append("")
            with pytest.raises(RunError, match="another transfer writes this file") as error:
                data.get(at(data_config, address), url, tmp_path / "out" / "large")
            refused[0] = str(error.value)
        return forward(server.endpoint, request)

    with serving(meanwhile) as address:
        data.get(at(data_config, address), url, tmp_path / "out" / "large")
    assert refused[0]


def test_ls_of_a_file_a_pattern_and_nothing(data_config: Config, bucket: str, tmp_path: Path) -> None:
    for name in ("a/1.root", "a/b/2.root", "a/b/3.txt"):
        S3Store(data_config.storage).write(join(bucket, name), b"12")
    assert data.ls(data_config, join(bucket, "a/b/3.txt"))["bytes"] == 2
    assert data.ls(data_config, join(bucket, "a"))["files"] == 3
    assert [entry["url"] for entry in data.ls(data_config, join(bucket, "a/**/*.root"))["entries"]] == [
        join(bucket, "a/1.root"),
        join(bucket, "a/b/2.root"),
    ]
    with pytest.raises(InputError, match="no such object, and no objects below it"):
        data.ls(data_config, join(bucket, "missing"))
    (tmp_path / "x").write_bytes(b"123")
    assert data.ls(data_config, str(tmp_path))["bytes"] == 3
    with pytest.raises(InputError, match="no such file or folder"):
        data.ls(data_config, str(tmp_path / "missing"))


def test_mistakes_are_told_in_one_message(data_config: Config, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder.root").mkdir()
    S3Store(data_config.storage).write(join(bucket, "folder.root"), b"x")
    random_file(tmp_path / "file", 5)
    for call, message in [
        (lambda: data.put(data_config, tmp_path / "missing", bucket), "missing: no such file or folder"),
        (lambda: data.put(data_config, tmp_path / "empty", bucket), "holds no files"),
        (lambda: data.put(data_config, tmp_path / "file", "/local"), "not an S3 URL"),
        (lambda: data.get(data_config, join(bucket, "missing"), tmp_path / "x"), "no such object"),
        (lambda: data.get(data_config, "s3a://no-such-bucket", tmp_path / "x"), "no such bucket"),
        (lambda: data.get(data_config, bucket, tmp_path), "is a folder, but the source is a file"),
        (lambda: data.get(data_config, join(bucket, "folder.root"), tmp_path / "file" / "x"), "file"),
    ]:
        with pytest.raises(InputError, match=message):
            call()


@pytest.mark.parametrize("step", ["put", "get", "ls"])
@pytest.mark.parametrize("kind", ["unreachable", "wrong secret", "no credentials"])
def test_a_store_that_refuses(
    data_config: Config, bucket: str, tmp_path: Path, aws_environment: pytest.MonkeyPatch, step: str, kind: str
) -> None:
    random_file(tmp_path / "file", 5)
    config, message = data_config, "refuses the credentials"
    if kind == "unreachable":
        config, message = at(data_config, free_port_url()), "cannot be reached"
    elif kind == "wrong secret":
        aws_environment.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    else:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            aws_environment.delenv(name)
        message = "no S3 credentials found"
    forget_clients()
    url = join(bucket, "x")
    begun = time.monotonic()
    call = {
        "put": lambda: data.put(config, tmp_path / "file", url),
        "get": lambda: data.get(config, url, tmp_path / "y"),
        "ls": lambda: data.ls(config, url),
    }[step]
    with pytest.raises(InputError, match=message) as refused:
        call()
    assert refused.value.exit_code == 2
    assert time.monotonic() - begun < 5


def test_no_room_on_the_disk_is_told_before(
    data_config: Config, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    S3Store(data_config.storage).write(join(bucket, "x"), b"x" * 1000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=999))
    with pytest.raises(InputError, match="1,000 bytes are needed, but 999 are free"):
        data.get(data_config, join(bucket, "x"), tmp_path / "x")


def test_a_notebook_puts_files_into_its_workspace_and_takes_them_back(
    data_config: Config, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert data_config.storage.endpoint
    monkeypatch.setenv("AWS_ENDPOINT_URL", data_config.storage.endpoint)
    monkeypatch.setenv("HEPSPARK_WORKSPACE", f"{bucket}/alice")
    random_file(tmp_path / "mine" / "a.root", 10)
    random_file(tmp_path / "mine" / "deep" / "b.root", 20)
    for _ in range(2):
        assert notebook.upload(tmp_path / "mine", "root") == f"{bucket}/alice/root"
    found = {entry["url"]: entry["bytes"] for entry in notebook.ls()["entries"]}
    assert found == {f"{bucket}/alice/root/{name}": size for name, size in (("a.root", 10), ("deep/b.root", 20))}
    assert notebook.upload(tmp_path / "mine" / "a.root") == f"{bucket}/alice/a.root"
    monkeypatch.chdir(tmp_path)
    assert notebook.download(f"{bucket}/alice/a.root") == str(tmp_path / "a.root")
    assert notebook.download(f"{bucket}/alice/root", "back") == str(tmp_path / "back")
    for mine, back in (("a.root", "a.root"), ("a.root", "back/a.root"), ("deep/b.root", "back/deep/b.root")):
        assert Path(back).read_bytes() == Path("mine", mine).read_bytes()
