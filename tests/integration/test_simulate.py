"""Simulation with real processes: files, reproducibility, and what happens when it is disturbed."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from hepspark.config import Config, SimulateConfig, StorageConfig
from hepspark.errors import InputError
from hepspark.rootfile import BRANCHES
from hepspark.steps import simulate
from hepspark.storage import store_for

CLASSES = ("qcd", "ttbar", "wjets")
COUNTS = {"Electron": "Electron_size", "MuonTight": "MuonTight_size"}
ENDS_WITHIN_SECONDS = 60


def config(output: object, **settings: Any) -> Config:
    small = {"events": 4, "events_per_file": 4, "pileup": 3, "pileup_pool": 20, "seed": 1, "workers": 1}
    return Config(simulate=SimulateConfig(output=str(output), **{**small, **settings}))


def arrays(path: Path) -> ak.Array:
    with uproot.open(path) as file:
        return file["Delphes"].arrays()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Four events a class, made by one worker."""
    folder = tmp_path_factory.mktemp("simulate") / "sample"
    return folder, simulate.run(config(folder))


def test_every_class_has_its_files_and_events(sample: tuple[Path, dict[str, Any]]) -> None:
    folder, summary = sample
    names = [f"{label}-00000.root" for label in CLASSES]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert [len(arrays(path)) for path in folder.iterdir()] == [4, 4, 4]
    assert [file["made"] for file in summary["files"]] == [True] * 3
    for label in CLASSES:
        made = summary["classes"][label]
        assert (made["files"], made["events"]) == (1, 4)
        assert made["bytes"] == sum(path.stat().st_size for path in folder.glob(f"{label}-*"))
        assert made["events_per_second_per_core"] == pytest.approx(4 / made["seconds"], rel=0.01)


@pytest.mark.parametrize("label", CLASSES)
def test_branches_are_those_of_delphes(sample: tuple[Path, dict[str, Any]], label: str) -> None:
    with uproot.open(sample[0] / f"{label}-00000.root") as file:
        tree = file["Delphes"]
        integers = {"PID": "int32_t[]", "Charge": "int32_t[]", "BTag": "uint32_t[]"}
        for branch in BRANCHES:
            expected = "int32_t" if branch.endswith("_size") else integers.get(branch.split(".")[-1], "float[]")
            assert tree[branch].typename == expected, branch
        assert tree["Event.Parent"].typename == "int64_t"
        events = tree.arrays()
    assert ak.all(ak.num(events["MissingET.MET"]) == 1)
    assert ak.all(ak.num(events["Electron.PT"]) == events["Electron_size"])
    assert ak.all(ak.num(events["MuonTight.PT"]) == events["MuonTight_size"])


@pytest.mark.parametrize("label", CLASSES)
def test_events_are_physical(sample: tuple[Path, dict[str, Any]], label: str) -> None:
    for path in sample[0].glob(f"{label}-*"):
        events = arrays(path)
        leading = ak.max(ak.concatenate([events["Electron.PT"], events["MuonTight.PT"]], axis=1), axis=1)
        assert ak.all(leading > 19.99)
        assert ak.all(events["EFlowTrack.PT"] > 0.499)
        assert ak.all(events["EFlowPhoton.ET"] > 0.999)
        assert ak.all(events["EFlowNeutralHadron.ET"] > 0.999)
        assert ak.all(abs(events["EFlowTrack.Eta"]) <= 2.5)
        assert ak.all(ak.num(events["EFlowTrack.PT"]) > 3)
        assert ak.all(ak.num(events["EFlowPhoton.ET"]) > 3)
        for field in events.fields:
            values = ak.flatten(events[field], axis=None).to_numpy()
            assert np.isfinite(values).all(), field
            if field.endswith("Phi"):
                assert (np.abs(values) <= np.pi).all(), field
        for name in ("Electron", "MuonTight"):
            assert ak.all(abs(events[f"{name}.Charge"]) == 1)


def test_events_that_share_a_collision_share_a_parent(sample: tuple[Path, dict[str, Any]]) -> None:
    collisions: list[int] = []
    for path in sample[0].iterdir():
        parents = arrays(path)["Event.Parent"].to_numpy()
        own = [int(parents[0]), *parents[1:][np.diff(parents) != 0].tolist()]
        assert len(own) == len(set(own))  # siblings are neighbours
        assert len(own) == len(parents) or path.name.startswith("qcd")
        collisions += own
    assert len(collisions) == len(set(collisions))


def test_the_same_seed_gives_the_same_events_with_any_number_of_workers(
    sample: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    simulate.run(config(tmp_path, workers=2))
    for one in sample[0].iterdir():
        two = tmp_path / one.name
        first, second = arrays(one), arrays(two)
        assert first.fields == second.fields
        for field in first.fields:
            assert ak.array_equal(first[field], second[field]), (one.name, field)
        assert uproot.open(one).file.uuid == uproot.open(two).file.uuid


def test_a_second_run_makes_only_what_is_missing(tmp_path: Path) -> None:
    settings = config(tmp_path, classes=("wjets",), events=5, events_per_file=3, pileup=0)
    simulate.run(settings)
    kept, lost = tmp_path / "wjets-00000.root", tmp_path / "wjets-00001.root"
    before, content = kept.stat().st_mtime_ns, arrays(lost)
    lost.unlink()
    summary = simulate.run(settings)
    assert [file["url"] for file in summary["files"] if file["made"]] == [str(lost)]
    assert summary["classes"]["wjets"]["events"] == 2
    assert kept.stat().st_mtime_ns == before
    assert ak.array_equal(arrays(lost), content)


def test_a_finished_run_is_left_alone(sample: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = sample
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    summary = simulate.run(config(folder))
    assert not any(file["made"] for file in summary["files"])
    assert summary["classes"]["qcd"]["events"] == 0
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.parametrize("setting", [{"seed": 2}, {"pileup": 4}, {"events": 3}])
def test_files_of_other_settings_are_refused(sample: tuple[Path, dict[str, Any]], setting: dict[str, Any]) -> None:
    folder, _ = sample
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(InputError, match=r"qcd-00000\.root: exists, .* choose another simulate\.output"):
        simulate.run(config(folder, **setting))
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_damaged_file_is_not_taken_for_finished(tmp_path: Path) -> None:
    (tmp_path / "wjets-00000.root").write_bytes(b"root, but no more than that")
    with pytest.raises(InputError, match=r"wjets-00000\.root: exists"):
        simulate.run(config(tmp_path, classes=("wjets",)))


def test_the_extra_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pythia8mc" else there(name))
    with pytest.raises(InputError, match=r"simulate needs pythia8mc: pip install 'hepspark\[simulation\]'"):
        simulate.run(config(tmp_path))


def test_output_is_asked_for() -> None:
    with pytest.raises(InputError, match=r"simulate\.output is not given"):
        simulate.run(Config())


def test_files_go_to_s3_and_each_has_events_of_its_own(s3: StorageConfig, bucket: str) -> None:
    settings = config(f"{bucket}/events", classes=("wjets",), events=4, events_per_file=2, pileup=0).model_copy(
        update={"storage": s3}
    )
    assert [file["made"] for file in simulate.run(settings)["files"]] == [True, True]
    assert [file["made"] for file in simulate.run(settings)["files"]] == [False, False]
    energies = []
    for index in (0, 1):
        url = f"{bucket}/events/wjets-{index:05d}.root"
        with store_for(url, s3).open(url) as stream, uproot.open(stream) as file:
            energies.append(file["Delphes"]["MissingET.MET"].array().to_numpy().ravel())
    assert [len(values) for values in energies] == [2, 2]
    assert energies[0][0] != energies[1][0]


PROGRAM = """
import sys
from hepspark.config import load
from hepspark.errors import HepsparkError
from hepspark.steps.simulate import run
try:
    run(load(None, sys.argv[1:]))
except HepsparkError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


def start(output: Path, temporary: Path) -> "subprocess.Popen[str]":
    """A long simulation in a process group of its own, whose workers are already at work."""
    temporary.mkdir()
    settings = {"output": output, "events": 100_000, "classes": "[wjets]", "pileup": 0, "workers": 1}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *(f"simulate.{key}={value}" for key, value in settings.items())],
        env={**os.environ, "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    await_that(lambda: list(temporary.glob("*/*.root")))
    return process


def await_that(condition: Callable[[], object]) -> None:
    end = time.monotonic() + ENDS_WITHIN_SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def nobody_left(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def test_ctrl_c_ends_all_processes_and_leaves_no_part_of_a_file(tmp_path: Path) -> None:
    process = start(tmp_path / "out", tmp_path / "tmp")
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=ENDS_WITHIN_SECONDS)
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in told.splitlines()[-1]
    await_that(lambda: nobody_left(process.pid))
    assert not list(tmp_path.rglob("*.root"))
    assert not list((tmp_path / "tmp").glob("hepspark-*"))


def test_workers_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    process = start(tmp_path / "out", tmp_path / "tmp")
    process.kill()
    process.communicate(timeout=ENDS_WITHIN_SECONDS)
    await_that(lambda: nobody_left(process.pid))
    assert not list(tmp_path.glob("out/*"))


def test_a_killed_worker_is_told_in_one_message(tmp_path: Path) -> None:
    process = start(tmp_path / "out", tmp_path / "tmp")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    workers = [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(workers[0], signal.SIGKILL)
    _, told = process.communicate(timeout=ENDS_WITHIN_SECONDS)
    assert process.returncode == 1
    assert told.splitlines()[-1].startswith("a process of the simulation was killed, perhaps because memory was full")
    await_that(lambda: nobody_left(process.pid))
    assert not list(tmp_path.glob("out/*"))
