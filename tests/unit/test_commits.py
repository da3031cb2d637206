import json
import threading
from dataclasses import replace

import numpy as np
import pytest

from hepspark.config import StorageConfig
from hepspark.errors import InputError
from hepspark.model.optimizer import AdamState
from hepspark.run import commits
from hepspark.schema import COMMIT_SCHEMA

STORAGE = StorageConfig()


def commit(step, generation):
    arrays = [np.arange(7, dtype=np.float32) + step + offset for offset in (0.0, 0.1, 0.2, 0.3)]
    return commits.Commit(
        step=step,
        generation=generation,
        state=AdamState(*arrays[:3], updates=10 * step),
        best_weights=arrays[3],
        best_loss=0.5,
        best_epoch=1,
        events=100 * step,
        steps=({"step": step, "epoch": 1},),
        epochs=({"epoch": 1},),
    )


def test_a_commit_comes_back_as_it_was(tmp_path):
    run = str(tmp_path)
    assert commits.newest(run, STORAGE) is None
    written = commit(1, commits.take_generation(run, STORAGE))
    commits.write(run, written, STORAGE)
    read = commits.newest(run, STORAGE)
    for name in ("weights", "first_moment", "second_moment"):
        np.testing.assert_array_equal(getattr(read.state, name), getattr(written.state, name))
    np.testing.assert_array_equal(read.best_weights, written.best_weights)
    assert read.state.updates == 10
    assert replace(read, state=written.state, best_weights=written.best_weights) == written


def test_only_the_newest_commits_stay(tmp_path):
    run = str(tmp_path)
    generation = commits.take_generation(run, STORAGE)
    for step in range(1, 8):
        commits.write(run, commit(step, generation), STORAGE)
    assert sorted(path.name for path in (tmp_path / "commits").iterdir()) == [f"{step:08d}.npz" for step in (5, 6, 7)]
    assert commits.newest(run, STORAGE).step == 7


def test_copies_beside_commits_do_not_count(tmp_path):
    run = str(tmp_path)
    commits.write(run, commit(2, commits.take_generation(run, STORAGE)), STORAGE)
    for name in ("commits/00000002 (copy).npz", "commits/00000003.npz.orig", "commits/old/00000009.npz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("nothing")
    (tmp_path / "generations" / "00000001 (copy)").write_text("nothing")
    assert commits.newest(run, STORAGE).step == 2
    assert commits.take_generation(run, STORAGE) == 2


def test_a_driver_that_was_taken_over_stops(tmp_path):
    run = str(tmp_path)
    paused = commits.take_generation(run, STORAGE)
    newer = commits.take_generation(run, STORAGE)
    with pytest.raises(commits.SupersededError, match="newer driver"):
        commits.write(run, commit(1, paused), STORAGE)
    commits.write(run, commit(1, newer), STORAGE)
    assert commits.newest(run, STORAGE).generation == newer


def test_a_step_that_an_older_driver_committed_first_is_not_replaced(tmp_path):
    run = str(tmp_path)
    older = commits.take_generation(run, STORAGE)
    commits.write(run, commit(1, older), STORAGE)
    newer = commits.take_generation(run, STORAGE)
    with pytest.raises(commits.StaleError):
        commits.write(run, replace(commit(1, newer), events=999), STORAGE)
    assert commits.newest(run, STORAGE).events == 100


def test_generations_are_never_shared(tmp_path):
    taken = []
    threads = [
        threading.Thread(target=lambda: taken.append(commits.take_generation(str(tmp_path), STORAGE))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(1, 9))


def test_a_damaged_commit_is_named(tmp_path):
    run = str(tmp_path)
    commits.write(run, commit(1, commits.take_generation(run, STORAGE)), STORAGE)
    path = tmp_path / "commits" / "00000001.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"00000001\.npz.*delete it"):
        commits.newest(run, STORAGE)


def altered(folder, change):
    """A run whose newest commit tells of itself what `change` makes of it."""
    run = str(folder)
    commits.write(run, commit(1, commits.take_generation(run, STORAGE)), STORAGE)
    path = folder / "commits" / "00000001.npz"
    with np.load(path) as content:
        arrays = dict(content)
    meta = change(json.loads(arrays["meta"].tobytes()))
    np.savez(path, **arrays | {"meta": np.frombuffer(json.dumps(meta).encode(), np.uint8)})
    return run


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda meta: {key: value for key, value in meta.items() if key != "schema_version"},
            r"the commit has schema version 0.*an older hepspark made it; choose another train\.output",
        ),
        (
            lambda meta: meta | {"schema_version": COMMIT_SCHEMA + 1, "unknown": True},
            r"the commit has schema version 2.*a newer hepspark made it; use that one",
        ),
        (lambda meta: meta | {"unknown": True}, r"not a commit of this hepspark .*'unknown'.*; delete it"),
        (lambda _: [], "not a commit of this hepspark .*; delete it"),
        (lambda _: {"schema_version": COMMIT_SCHEMA}, r"not a commit of this hepspark \('updates'\); delete it"),
    ],
)
def test_what_is_no_commit_of_this_hepspark_is_refused(tmp_path, change, message):
    with pytest.raises(InputError, match=rf"00000001\.npz: {message}"):
        commits.newest(altered(tmp_path, change), STORAGE)
