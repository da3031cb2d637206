"""`data public` against a web server on loopback that lists folders, knows ranges, and breaks."""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import numpy as np
import pytest

from hepspark.config import Config, DataConfig
from hepspark.errors import InputError, RunError
from hepspark.steps import data
from hepspark.storage import join
from hepspark.storage.s3 import S3Store
from hepspark.transfer import catalog, web
from hepspark.transfer.catalog import PublishedDataset, PublishedFile
from tests.integration.middleman import Answer, Request, forward, free_port_url, serving
from tests.integration.s3_servers import Server

NAME = "testUndersampled_2kevents.parquet"
PART = 5 << 20


@dataclass
class Site:
    """Files by path, served as Apache does: a listing with links to sort it and to the folder above."""

    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    tells_length: bool = True
    requests: list[Request] = field(default_factory=list)
    cut_after: int | None = None

    def __call__(self, request: Request) -> Answer:
        self.requests.append(request)
        path = unquote(request.path.partition("?")[0]).removeprefix("/data/")
        names = [name for name in self.files if name.startswith(path)]
        if path in self.files:
            return self._file(request, self.files[path])
        if not names:
            return Answer(404, {"Content-Type": "text/html"}, b"<html>Not Found</html>")
        if not path.endswith("/"):
            return Answer(301, {"Location": f"/data/{path}/"})
        children = sorted({re.sub(r"/.*", "/", name.removeprefix(path)) for name in names})
        links = [
            "?C=N;O=D",
            "/data/",
            "https://elsewhere.invalid/x",
            "index.html",
            "x%2f..%2f..%2fout",
            *(c.replace(" ", "%20") for c in children),
        ]
        page = "<html><table>" + "".join(f'<tr><td><a href="{link}">x</a></td></tr>' for link in links)
        return Answer(200, {"Content-Type": "text/html;charset=UTF-8"}, page.encode())

    def _file(self, request: Request, content: bytes) -> Answer:
        headers = {"ETag": f'"{hashlib.md5(content).hexdigest()[:8]}"', "Content-Type": "application/octet-stream"}
        wanted = re.match(r"bytes=(\d+)-(\d+)", request.headers.get("Range", ""))
        if not wanted or not self.ranges:
            return Answer(200, headers, content, cut=self.cut_after)
        first, last = int(wanted[1]), min(int(wanted[2]), len(content) - 1)
        if first >= len(content):
            return Answer(416, {**headers, "Content-Range": f"bytes */{len(content)}"})
        total = str(len(content)) if self.tells_length else "*"
        headers["Content-Range"] = f"bytes {first}-{last}/{total}"
        return Answer(206, headers, content[first : last + 1], cut=self.cut_after)

    def sent(self) -> list[str]:
        return [r.headers["Range"] for r in self.requests if r.headers.get("Range", "bytes=0-0") != "bytes=0-0"]


@pytest.fixture
def site() -> Site:
    random = np.random.default_rng(5)
    return Site(
        {
            f"{NAME}/part-0.parquet": random.bytes(3 * PART + 11),
            f"{NAME}/part-1 b.parquet": random.bytes(1_000),
            f"{NAME}/deep/part-2.parquet": random.bytes(2_000),
            f"{NAME}/_SUCCESS": b"",
            "other/x": b"not asked for",
        }
    )


def config_for(address: str, config: Config | None = None) -> Config:
    settings = DataConfig(part_mb=5, threads=2, public_address=f"{address}/data")
    return (config or Config()).model_copy(update={"data": settings})


def loaded(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder.parent).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "_SHA256SUMS"
    }


def wanted(site: Site) -> dict[str, bytes]:
    return {name: content for name, content in site.files.items() if name.startswith(NAME)}


def test_a_data_set_is_loaded_and_not_loaded_again(site: Site, tmp_path: Path) -> None:
    with serving(site) as address:
        config = config_for(address)
        result = data.public(config, NAME, str(tmp_path))
        assert loaded(tmp_path / NAME) == wanted(site)
        assert {file["verified_by"] for file in result["files"]} == {"size"}
        site.requests.clear()
        again = data.public(config, NAME, str(tmp_path))
        assert {file["status"] for file in again["files"]} == {"there"}
        assert site.sent() == []
        (tmp_path / NAME / "part-0.parquet").write_bytes(b"?" * (3 * PART + 11))
        data.public(config, NAME, str(tmp_path))
        assert loaded(tmp_path / NAME) == wanted(site)
    sums = dict(reversed(line.split("  ")) for line in (tmp_path / NAME / "_SHA256SUMS").read_text().splitlines())
    assert sums == {
        name.removeprefix(f"{NAME}/"): hashlib.sha256(content).hexdigest() for name, content in wanted(site).items()
    }


def test_a_connection_that_drops_midway_is_taken_up_within_the_call(site: Site, tmp_path: Path) -> None:
    site.cut_after = 2_000_000
    with serving(site) as address:
        data.public(config_for(address), NAME, str(tmp_path))
    assert loaded(tmp_path / NAME) == wanted(site)
    starts = sorted(int(text.removeprefix("bytes=").split("-")[0]) for text in site.sent() if text != "bytes=0-999")
    assert starts.count(0) <= 2  # the large file and deep/part-2: nothing begins again at the beginning


def test_an_interrupted_load_goes_on_in_the_next_call(site: Site, tmp_path: Path) -> None:
    broken = True

    def stop_at_third_part(request: Request) -> Answer:
        answer = site(request)
        if broken and request.headers.get("Range", "").startswith(f"bytes={2 * PART}-"):
            return Answer(200, silent=True)
        return answer

    target = tmp_path / NAME / "part-0.parquet"
    with serving(stop_at_third_part) as address:
        with pytest.raises((RunError, InputError)) as failed:
            data.public(config_for(address), NAME, str(tmp_path))
        assert address in str(failed.value)
        assert not target.exists()
        (partial,) = target.parent.glob(".hepspark-*")
        assert partial.stat().st_size == 2 * PART
        broken = False
        site.requests.clear()
        result = data.public(config_for(address), NAME, str(tmp_path))
    assert {file["url"].rpartition("/")[2]: file["status"] for file in result["files"]}["part-0.parquet"] == "resumed"
    starts = {int(text.removeprefix("bytes=").split("-")[0]) for text in site.sent()}
    assert starts == {0, 2 * PART, 3 * PART}  # 0 is of the small files
    assert f"bytes=0-{PART - 1}" not in site.sent()
    assert loaded(tmp_path / NAME) == wanted(site)


def test_into_a_bucket(
    site: Site, bucket: str, data_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    target = join(bucket, "public")
    with serving(site) as address:
        config = config_for(address, data_config)
        data.public(config, NAME, target)
        store = S3Store(config.storage)
        for name, content in wanted(site).items():
            assert store.read(join(target, name)) == content
            assert store.head(join(target, name))["Metadata"]["sha256"] == hashlib.sha256(content).hexdigest()
        assert list((tmp_path / "cache" / "hepspark" / "staging").iterdir()) == []
        site.requests.clear()
        assert {file["status"] for file in data.public(config, NAME, target)["files"]} == {"there"}
        assert site.sent() == []


def test_a_bucket_that_breaks_does_not_load_from_the_web_again(
    site: Site, server: Server, bucket: str, data_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def refuse_parts(request: Request) -> Answer:
        return Answer(200, silent=True) if request.is_part else forward(server.endpoint, request)

    with serving(site) as address:
        config = config_for(address, data_config)
        with serving(refuse_parts) as broken:
            storage = config.storage.model_copy(update={"endpoint": broken, "attempts": 1})
            with pytest.raises(InputError, match="cannot be reached"):
                data.public(config.model_copy(update={"storage": storage}), NAME, bucket)
        large = [text for text in site.sent() if int(text.split("-")[0].removeprefix("bytes=")) >= PART]
        assert large
        site.requests.clear()
        data.public(config, NAME, bucket)
        assert [text for text in site.sent() if int(text.split("-")[0].removeprefix("bytes=")) >= PART] == []
    assert S3Store(config.storage).read(join(bucket, NAME, "part-0.parquet")) == site.files[f"{NAME}/part-0.parquet"]


def published(site: Site, monkeypatch: pytest.MonkeyPatch, wrong: bool = False) -> None:
    files = {
        name.removeprefix(f"{NAME}/"): PublishedFile(
            len(content), "0" * 64 if wrong else hashlib.sha256(content).hexdigest()
        )
        for name, content in wanted(site).items()
    }
    monkeypatch.setattr(catalog, "DATASETS", (PublishedDataset(NAME, "Parquet", 1, "", files),))


def test_published_checksums_are_compared(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published(site, monkeypatch)
    with serving(site) as address:
        result = data.public(config_for(address), NAME, str(tmp_path))
    assert {file["verified_by"] for file in result["files"]} == {"published sha256"}
    assert loaded(tmp_path / NAME) == wanted(site)


def test_what_is_not_what_was_published_never_appears(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(site, monkeypatch, wrong=True)
    with serving(site) as address, pytest.raises(RunError, match="0000 is published"):
        data.public(config_for(address), NAME, str(tmp_path))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_another_length_than_published_is_refused_before_loading(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(site, monkeypatch)
    site.files[f"{NAME}/part-0.parquet"] += b"x"
    with serving(site) as address, pytest.raises(InputError, match="are published"):
        data.public(config_for(address), NAME, str(tmp_path))
    assert [text for text in site.sent() if text.startswith(f"bytes={PART}")] == []


def test_a_server_without_ranges_works(site: Site, tmp_path: Path) -> None:
    site.ranges = False
    with serving(site) as address:
        data.public(config_for(address), NAME, str(tmp_path))
    assert loaded(tmp_path / NAME) == wanted(site)


def test_a_server_without_ranges_that_drops_is_told(site: Site, tmp_path: Path) -> None:
    site.ranges, site.cut_after = False, PART
    with serving(site) as address, pytest.raises(RunError, match="run again to continue"):
        data.public(config_for(address), NAME, str(tmp_path))
    assert not (tmp_path / NAME / "part-0.parquet").exists()
    site.cut_after = None
    with serving(site) as address:
        data.public(config_for(address), NAME, str(tmp_path))
    assert loaded(tmp_path / NAME) == wanted(site)


def test_a_file_that_is_replaced_while_it_is_loaded_is_told(site: Site, tmp_path: Path) -> None:
    def replace(request: Request) -> Answer:
        if request.headers.get("Range", "").startswith(f"bytes={PART}-"):
            site.files[f"{NAME}/part-0.parquet"] = b"?" * (3 * PART + 11)
        return site(request)

    with serving(replace) as address, pytest.raises(RunError, match="changed while it was loaded"):
        data.public(config_for(address), NAME, str(tmp_path))
    assert not (tmp_path / NAME / "part-0.parquet").exists()


def test_one_file_by_its_own_address(site: Site) -> None:
    with serving(site) as address:
        found = web.listing(f"{address}/data/{NAME}/part-1%20b.parquet")
    assert {name: file.size for name, file in found.items()} == {"part-1 b.parquet": 1_000}


def test_a_passing_refusal_is_tried_again(site: Site, tmp_path: Path) -> None:
    refused: list[str] = []

    def busy_first(request: Request) -> Answer:
        if request.path not in refused:
            refused.append(request.path)
            return Answer(503)
        return site(request)

    with serving(busy_first) as address:
        data.public(config_for(address), NAME, str(tmp_path))
    assert loaded(tmp_path / NAME) == wanted(site)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(404), "HTTP 404; check the name and data.public_address"),
        (Answer(403), "HTTP 403; try again later"),
        (Answer(200, {"Content-Type": "text/html"}, b"<html>Welcome"), "shows no list of files there"),
    ],
)
def test_an_address_with_nothing_to_load(tmp_path: Path, answer: Answer, message: str) -> None:
    with serving(lambda _: answer) as address, pytest.raises(InputError, match=message):
        data.public(config_for(address), NAME, str(tmp_path))


def test_an_address_that_cannot_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "_ATTEMPTS", 1)
    web._pool.cache_clear()
    with pytest.raises(InputError, match="cannot be reached; check the network") as refused:
        data.public(config_for(free_port_url()), NAME, str(tmp_path))
    assert refused.value.exit_code == 2
    web._pool.cache_clear()


def test_a_server_that_tells_no_length(site: Site, tmp_path: Path) -> None:
    site.tells_length = False
    with serving(site) as address, pytest.raises(RunError, match="does not send the size"):
        data.public(config_for(address), NAME, str(tmp_path))


def test_a_disk_that_is_too_small(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=999))
    with serving(site) as address, pytest.raises(InputError, match="are needed, but 999 are free"):
        data.public(config_for(address), NAME, str(tmp_path))
    assert not (tmp_path / NAME).exists()
