"""Checksums by parts, the table of published data sets, and the plan of a transfer."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepspark.config import Config, DataConfig
from hepspark.errors import InputError
from hepspark.steps import data
from hepspark.transfer.catalog import DATASETS, dataset
from hepspark.transfer.digest import MOST_PARTS, digest, part_bytes
from hepspark.transfer.upload import plain_md5

MIB = 1 << 20


@given(size=st.integers(0, 5 << 40), part_mb=st.integers(5, 100))
def test_parts_are_never_too_many_nor_smaller_than_asked(size: int, part_mb: int) -> None:
    step = part_bytes(size, part_mb)
    assert step % MIB == 0
    assert step >= part_mb * MIB
    assert -(-size // step) <= MOST_PARTS
    assert step == part_mb * MIB or -(-size // (step - MIB)) > MOST_PARTS


@pytest.mark.parametrize("size", [0, 1, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 10 * MIB])
def test_digest(tmp_path: Path, size: int) -> None:
    content = bytes(range(251)) * (size // 251) + b"x" * (size % 251)
    (tmp_path / "file").write_bytes(content)
    found = digest(tmp_path / "file", 5)
    assert (found.size, found.sha256) == (size, hashlib.sha256(content).hexdigest())
    parts = [content[start : start + 5 * MIB] for start in range(0, max(size, 1), 5 * MIB)]
    assert list(found.part_md5) == [hashlib.md5(part).digest() for part in parts]


def test_etags() -> None:
    assert plain_md5('"d41d8cd98f00b204e9800998ecf8427e"') == "d41d8cd98f00b204e9800998ecf8427e"
    assert plain_md5('"d41d8cd98f00b204e9800998ecf8427e-2"') is None


def test_the_table_is_consistent() -> None:
    assert len({entry.name for entry in DATASETS}) == len(DATASETS)
    for entry in DATASETS:
        assert all(len(file.sha256) == 64 and int(file.sha256, 16) for file in entry.files.values())
        assert not entry.files or entry.size == sum(file.size for file in entry.files.values())


def test_the_listing_says_where_no_checksum_is_published() -> None:
    config = Config(data=DataConfig(public_address="http://copy.example/data"))
    listed = {entry["name"]: entry for entry in data.public(config)["datasets"]}
    train = listed["trainUndersampled_HLF_features.parquet"]
    assert train["address"] == "http://copy.example/data/trainUndersampled_HLF_features.parquet"
    assert (train["bytes"], train["bytes_are_rounded"], train["checksum"]) == (313_976_042, False, "SHA-256 published")
    assert listed["trainUndersampled.parquet"]["checksum"] == "no checksum published"
    assert listed["trainUndersampled.parquet"]["bytes_are_rounded"]


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"did you mean testUndersampled_HLF_features\.parquet"):
        dataset("testUndersampled_HLF_feature.parquet")


def test_a_name_needs_a_target() -> None:
    with pytest.raises(InputError, match="give a target"):
        data.public(Config(), "testUndersampled.parquet")


def test_ls_finds_what_is_called_as_it_was_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run [2024]").mkdir()
    (tmp_path / "run [2024]" / "a.root").write_text("a")
    for typed in ("run [2024]", "./run [2024]/", "~/run [2024]/*.root", "~//run*/a.root"):
        assert [entry["url"] for entry in data.ls(Config(), typed)["entries"]] == [f"{tmp_path}/run [2024]/a.root"]
    with pytest.raises(InputError, match=r"run \[2025\]: no such file or folder"):
        data.ls(Config(), "run [2025]")
