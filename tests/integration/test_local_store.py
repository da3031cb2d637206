"""LocalStore among processes: races, kills, full disks and closed doors."""

import multiprocessing
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from hepspark.storage.local import LocalStore

WRITERS, ROUNDS, LOOKS = 4, 50, 100_000


def _create(folder: str, writer: int, start: Barrier, wins: "multiprocessing.Queue[int]") -> None:
    for number in range(ROUNDS):
        start.wait()
        if LocalStore().create(f"{folder}/{number}", str(writer).encode()):
            wins.put(number)
    wins.put(-1)


def test_create_has_one_winner_among_processes(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start, wins = context.Barrier(WRITERS), context.Queue()
    processes = [
        context.Process(target=_create, args=(str(tmp_path), writer, start, wins)) for writer in range(WRITERS)
    ]
    for process in processes:
        process.start()
    won: list[int] = []
    while won.count(-1) < WRITERS:
        won.append(wins.get(timeout=60))
    for process in processes:
        process.join(10)
        assert process.exitcode == 0
    assert sorted(number for number in won if number >= 0) == list(range(ROUNDS))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(str(number) for number in range(ROUNDS))


def test_a_reader_sees_the_old_or_the_new_even_when_the_writer_is_killed(tmp_path: Path) -> None:
    target = tmp_path / "commit"
    target.write_bytes(b"0" * 1_000_000)
    program = """
import sys
from hepspark.storage.local import LocalStore
n = 0
while True:
    n += 1
    LocalStore().write(sys.argv[1], str(n % 10).encode() * 1_000_000)
    if n == 3:
        print("writing", flush=True)
"""
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", program, target], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        with writer.stdout as output:
            assert output.readline() == "writing\n"
            sizes = {target.stat().st_size for _ in range(LOOKS)}
            writer.kill()
            writer.wait()
        assert sizes == {1_000_000}
        content = target.read_bytes()
        assert content == content[:1] * 1_000_000
        assert [entry.url for entry in LocalStore().walk(str(tmp_path))] == [str(target)]


LIMITS = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
"""


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[tuple[Path, str, str]]:
    """A folder with room for 64 KiB, what a program has to run first, and what it then says.

    It is a file system of that size where one may be mounted; elsewhere a bound on the length of files.
    """
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], capture_output=True)
    if mount.returncode:
        yield folder, LIMITS, "File too large"
        return
    try:
        yield folder, "", "the disk is full; free some space and run again"
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("call", ["write", "create"])
@pytest.mark.parametrize("limits", [True, False])
def test_a_full_disk_is_told_and_leaves_the_old(
    tmp_path: Path, full_disk: tuple[Path, str, str], call: str, limits: bool
) -> None:
    folder, preamble, message = (tmp_path, LIMITS, "File too large") if limits else full_disk
    program = f"""
{preamble}
import sys
from hepspark.errors import HepsparkError
from hepspark.storage.local import LocalStore
LocalStore().write(sys.argv[1] + "/old", b"old")
for name, call in (("new", "{call}"), ("old", "write")):
    try:
        getattr(LocalStore(), call)(sys.argv[1] + "/" + name, b"x" * 200_000)
    except HepsparkError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True)
    told = [f"{folder}/{name}: cannot be written: {message}" for name in ("new", "old")]
    assert done.stdout.splitlines() == told, done.stderr
    assert [path.name for path in folder.iterdir() if path.is_file()] == ["old"]
    assert (folder / "old").read_bytes() == b"old"


def test_what_may_not_be_read_or_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    (tmp_path / "secret").write_bytes(b"x")
    (tmp_path / "secret").chmod(0)
    tmp_path.chmod(0o755)
    program = """
import os, sys
from hepspark.errors import InputError
from hepspark.storage.local import LocalStore
if os.geteuid() == 0:
    os.setuid(65534)
store = LocalStore()
for call in (lambda: store.read(sys.argv[1] + "/secret"), lambda: store.write(sys.argv[1] + "/closed/x", b"")):
    try:
        call()
    except InputError as error:
        print(error)
"""
    parents = [parent for parent in tmp_path.parents if parent.stat().st_mode & 0o001 == 0]
    modes = {parent: parent.stat().st_mode for parent in parents}
    for parent in parents:
        parent.chmod(modes[parent] | 0o111)
    try:
        done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True)
    finally:
        for parent in parents:
            parent.chmod(modes[parent])
    assert done.stdout.splitlines() == [
        f"{tmp_path}/secret: cannot be read: permission denied; check its owner and mode",
        f"{tmp_path}/closed/x: cannot be written: permission denied; check its owner and mode",
    ], done.stderr
