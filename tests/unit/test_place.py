"""One spelling for each place."""

import os
from pathlib import Path

import pytest

from hepspark.errors import InputError
from hepspark.place import address, argument, local_path, place


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder, which is the home folder too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PWD", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    "text",
    [
        "r1",
        "./r1",
        ".//r1/",
        "r1/.",
        "x/../r1",
        "~/r1",
        "~//r1/",
        "{here}/r1",
        "{here}//r1",
        "{here}/./r1",
        "//{here}/r1",
        "file:{here}/r1",
        "file://{here}/r1",
        "file://localhost{here}/r1",
        "FILE:///{here}/r1",
    ],
)
def test_a_path_has_one_spelling(folder, text):
    assert place(text.replace("{here}", str(folder))) == f"{folder}/r1"


def test_a_name_of_a_user_is_a_home_folder(folder):
    user = Path("~root").expanduser()
    assert place("~root/r1") == f"{user}/r1"
    with pytest.raises(ValueError, match=r"the home folder of ~nobody-here is not known.*write \./~nobody-here"):
        place("~nobody-here/r1")
    assert place("./~nobody-here/r1") == f"{folder}/~nobody-here/r1"
    assert place("~") == str(folder)


@pytest.mark.parametrize(
    "text", ["a b", "a%20b", "$HOME/x", "${HOME}", "a#b", "a:b", "a:/b", "./hdfs:/x", "ü", " a", "a ", "{x}", "-", "s3"]
)
def test_names_stay_as_they_are(folder, text):
    assert place(text) == f"{folder}/{text.removeprefix('./')}"


def test_a_file_url_is_read_as_urls_are():
    assert place("file:///data/my%20events") == "/data/my events"


@pytest.mark.parametrize("scheme", ["s3", "s3a", "s3n", "S3", "S3A"])
def test_an_object_has_one_scheme(scheme):
    assert place(f"{scheme}://b/k") == "s3a://b/k"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("s3://b", "s3a://b"),
        ("s3://b/", "s3a://b"),
        ("s3://b/k/", "s3a://b/k"),
        ("s3a://B/k", "s3a://B/k"),
        ("s3a://b//k", "s3a://b//k"),
        ("s3a://b/./k", "s3a://b/./k"),
        ("s3a://b/x/../k", "s3a://b/x/../k"),
        ("s3a://b/a%20b", "s3a://b/a%20b"),
        ("s3a://b/~/k#?*", "s3a://b/~/k#?*"),
    ],
)
def test_a_key_stays_as_it_is(text, found):
    assert place(text) == found
    assert place(found) == found


def test_a_slash_at_the_end_of_a_url_means_a_folder_to_data():
    assert address("s3://b/k/") == "s3a://b/k/"
    assert address("/a/b/") == "/a/b"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"is empty; give a path of this machine, or s3a://bucket/key"),
        ("  ", "is empty"),
        ("\n", "line break"),
        ("out\n", "line break"),
        ("s3a://b/out\n", "line break"),
        ("a\0b", "control character"),
        ("ftp://h/x", r"ftp:// cannot be read or written; give a path of this machine, or s3a://"),
        ("root://eos.cern.ch//x", r"root:// cannot be read or written"),
        ("https://h/x", r"https:// cannot"),
        ("s3:/b/k", r"names no bucket; write s3a://bucket/key"),
        ("s3a:b", "names no bucket"),
        ("s3a://", "names no bucket"),
        ("s3a:///k", "names no bucket"),
        ("file://", "names no file; give a path of this machine, or s3a://bucket/key"),
        ("hdfs:/x", r"hdfs:// cannot be read or written; .*, or ./hdfs:/x for a file of that name"),
        ("file://otherhost/x", "names a file on the machine 'otherhost'"),
    ],
)
def test_what_is_no_place_is_told(text, message):
    with pytest.raises(ValueError, match=message):
        place(text)


def test_links_are_not_followed_but_for_what_is_above_one(folder):
    (folder / "disk" / "deep").mkdir(parents=True)
    (folder / "link").symlink_to(folder / "disk" / "deep")
    assert place("link/r1") == f"{folder}/link/r1"
    assert place("link/../r1") == f"{folder}/disk/r1"
    (folder / "disk" / "r1").touch()
    assert Path(place("link/../r1")).samefile("link/../r1")


def test_behind_a_link_the_working_folder_is_called_as_the_shell_calls_it(folder, monkeypatch):
    (folder / "disk").mkdir()
    (folder / "link").symlink_to(folder / "disk")
    monkeypatch.chdir(folder / "link")
    monkeypatch.setenv("PWD", f"{folder}/link")
    assert place("r1") == f"{folder}/link/r1"
    monkeypatch.setenv("PWD", "/")  # of another folder, as after os.chdir
    assert place("r1") == f"{folder}/disk/r1"
    monkeypatch.setenv("PWD", f"{folder}/gone")
    assert place("r1") == f"{folder}/disk/r1"


def test_a_working_folder_that_was_removed_is_told(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(ValueError, match="working folder was removed"):
        place("r1")
    assert place("/r1") == "/r1"
    os.chdir(tmp_path)


def test_a_file_of_this_machine_is_none_in_s3(folder):
    assert local_path("~/ca.pem") == f"{folder}/ca.pem"
    with pytest.raises(ValueError, match="is in S3; give a file of this machine"):
        local_path("s3://b/ca.pem")


def test_an_argument_that_is_no_place_is_told_by_its_name(folder):
    assert argument("model", Path("run")) == f"{folder}/run"
    with pytest.raises(InputError, match=r"--summary: gs:// cannot be read or written.*\(got 'gs://b/k'\)"):
        argument("--summary", "gs://b/k")
