"""Simulated collision events as ROOT files: what is to be made, and the processes that make it."""

import importlib.util
import os
import queue
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import uproot

from hepspark import environment
from hepspark.config import Config, SimulateConfig, given
from hepspark.errors import InputError, RunError
from hepspark.interrupts import finishing
from hepspark.progress import track
from hepspark.storage import join, store_for

if TYPE_CHECKING:
    from hepspark.simulation.job import File

T = TypeVar("T")
_POLL_SECONDS = 0.5


def run(config: Config) -> dict[str, Any]:
    """Simulate the classes that the configuration names.

    A file that is there already with the same identity is left as it is: a run that was interrupted goes on
    where it stopped, and one for more files makes only those that are missing.

    Returns:
        Every file with its events and whether this run made it; per class what this run made: files, events, bytes,
        seconds of processor time, events per second of one core.

    Raises:
        InputError: the extra is not installed, TMPDIR is no folder, or another file is in the way.
        RunError: the disk is full, or a worker was killed.
    """
    begun = time.monotonic()
    _need_the_extra()
    environment.check_temporary(os.environ)
    output = given(config.simulate.output, "simulate.output")
    planned = _plan(config.simulate, output)
    missing = [file for file in planned if not _there_already(file, config)]
    made = _make(missing, config) if missing else {}
    return {
        "output": output,
        "files": [
            {"url": file.url, "class": file.label, "events": file.events, "made": file in made} for file in planned
        ],
        "classes": {label: _made_of(label, made) for label in dict.fromkeys(config.simulate.classes)},
        "seconds": round(time.monotonic() - begun, 3),
    }


def _need_the_extra() -> None:
    absent = [name for name in ("pythia8mc", "fastjet") if importlib.util.find_spec(name) is None]
    if absent:
        raise InputError(f"simulate needs {' and '.join(absent)}: pip install 'hepspark[simulation]'")


def _plan(config: SimulateConfig, output: str) -> list["File"]:
    from hepspark.simulation.job import File

    starts = range(0, config.events, config.events_per_file)
    sizes = [min(config.events_per_file, config.events - start) for start in starts]
    return [
        File(label, index, size, join(output, f"{label}-{index:05d}.root"))
        for index, size in enumerate(sizes)
        for label in dict.fromkeys(config.classes)
    ]


def _there_already(file: "File", config: Config) -> bool:
    from hepspark.simulation.job import identity

    store = store_for(file.url, config.storage)
    if not store.exists(file.url):
        return False
    with store.open(file.url) as stream:
        try:
            with uproot.open(stream) as found:
                same = bool(found.file.uuid == identity(file, config.simulate))
        except Exception:  # uproot raises whatever the bytes lead it to
            same = False
    if not same:
        raise InputError(
            f"{file.url}: exists, but does not have the events that these settings give; "
            "choose another simulate.output, or remove the file"
        )
    return True


def _made_of(label: str, made: dict["File", tuple[int, float]]) -> dict[str, float]:
    own = {file: result for file, result in made.items() if file.label == label}
    events = sum(file.events for file in own)
    seconds = sum(seconds for _, seconds in own.values())
    return {
        "files": len(own),
        "events": events,
        "bytes": sum(size for size, _ in own.values()),
        "seconds": round(seconds, 3),
        "events_per_second_per_core": round(events / seconds, 2) if seconds else 0.0,
    }


@dataclass(frozen=True)
class _Crew:
    executor: ProcessPoolExecutor
    progress: "Queue[int]"


def _make(files: list["File"], config: Config) -> dict["File", tuple[int, float]]:
    """Make files in parallel; the pile-up pool first, as all share it."""
    from hepspark.simulation.job import make_file, make_pool_shard, shard_sizes

    settings = config.simulate
    sizes = shard_sizes(settings)
    with (
        tempfile.TemporaryDirectory(prefix="hepspark-simulate-") as name,
        _crew(settings, max(len(files), len(sizes))) as crew,
    ):
        folder = Path(name)
        shards = [folder / f"pool-{index}.npz" for index in range(len(sizes))]
        if shards:
            pool = [
                crew.executor.submit(make_pool_shard, index, size, settings.seed, shard)
                for index, (size, shard) in enumerate(zip(sizes, shards, strict=True))
            ]
            _results(pool, crew, "pile-up pool", sum(sizes))
        jobs = [crew.executor.submit(make_file, file, settings, config.storage, shards, folder) for file in files]
        results = _results(jobs, crew, "simulate", sum(file.events for file in files))
    return dict(zip(files, results, strict=True))


def _results(futures: Sequence["Future[T]"], crew: _Crew, title: str, total: int) -> list[T]:
    pending = set(futures)
    counted = 0
    with track(title, total, "events") as tracker:
        while pending:
            done, pending = wait(pending, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            try:
                for future in done:
                    future.result()
            except BrokenProcessPool as error:
                raise RunError(
                    "a process of the simulation was killed, perhaps because memory was full; "
                    "run again with fewer simulate.workers; finished files are kept"
                ) from error
            made = _drained(crew.progress) if pending else total - counted
            counted += made
            if made:
                tracker.advance(made)
    _drained(crew.progress)
    return [future.result() for future in futures]


def _drained(progress: "Queue[int]") -> int:
    made = 0
    while True:
        try:
            made += progress.get_nowait()
        except queue.Empty:
            return made


@contextmanager
def _crew(settings: SimulateConfig, tasks: int) -> Iterator[_Crew]:
    from hepspark.simulation.job import start_worker

    # Spawned, not forked: the caller may have threads, such as those of a JVM.
    context = get_context("spawn")
    stop, progress = context.Event(), context.Queue()
    workers = min(settings.workers or len(os.sched_getaffinity(0)), tasks)
    executor = ProcessPoolExecutor(workers, context, start_worker, (stop, progress))
    try:
        with finishing("finished files are kept; the processes of the simulation finish their current events"):
            yield _Crew(executor, progress)
    finally:  # after Ctrl-C or an error, workers end at their next batch of events
        stop.set()
        executor.shutdown(wait=True, cancel_futures=True)
