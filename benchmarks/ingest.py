"""How fast ingestion is: against a plain per-event implementation, on one core and on two, and its memory.

python -m benchmarks.ingest --output FOLDER [--input FOLDER]

Run from the root of the repository. The input is tt̄ events with pile-up, such as `hepspark simulate` makes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import uproot

from benchmarks.conditions import conditions, table
from hepspark import rootfile
from hepspark.config import SparkConfig, StorageConfig
from hepspark.features import compute
from hepspark.parts import Range, Settings, write_part
from hepspark.schema import CLASSES
from hepspark.spark import run_tasks, spark_context
from tests.reference.delphes import FIELDS, rows_of
from tests.reference.features import Particle, Result, features

PUBLISHED = 17.0
"""Input events/s on one core in arXiv:1909.10389."""

CHUNK = 1_000
SAMPLE = Path("tests/data/root")
STORAGE = StorageConfig()
LABEL = CLASSES.index("ttbar")


@dataclass(frozen=True)
class Speed:
    """Events handled in a time."""

    events: int
    seconds: float
    cpu_seconds: float | None = None
    """Of this process, where it did the work."""

    @property
    def rate(self) -> float:
        """Events a second of wall time."""
        return self.events / self.seconds

    def told(self) -> dict[str, float | str]:
        """For the JSON file."""
        return {
            "events": self.events,
            "seconds": round(self.seconds, 3),
            "events_per_second": round(self.rate, 1),
            "events_per_cpu_second": round(self.events / self.cpu_seconds, 1) if self.cpu_seconds else "",
        }


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, default=SAMPLE, help="folder of ROOT files (default: %(default)s)")
    parser.add_argument("--pattern", default="ttbar-*.root", help="which of its files (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path(), help="folder for ingest.json")
    parser.add_argument("--events", type=int, default=20_000, help="events on one core and in Spark")
    parser.add_argument("--reference-events", type=int, default=100, help="events for the per-event implementation")
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.peak_of:
        print(_peak_here(options.peak_of))
        return 0
    files = sorted(options.input.glob(options.pattern))
    if not files:
        print(f"{options.input}: no {options.pattern} here; make some with: hepspark simulate", file=sys.stderr)
        return 2
    results = {"conditions": conditions() | _sample(files)}
    results |= measure(files, options.events, options.reference_events)
    _tell(results)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "ingest.json").write_text(json.dumps(results, indent=1) + "\n")
    return 0


def measure(files: Sequence[Path], events: int, reference_events: int) -> dict[str, Any]:
    """All figures, in the order in which they are told."""
    ranges = [_range(file) for file in files]
    with tempfile.TemporaryDirectory(prefix="hepspark-bench-") as folder:
        work = _repeated(ranges, events, folder)
        started = time.perf_counter()
        write_part(*work[0])
        first = time.perf_counter() - started
        fast = _timed(lambda: sum(_ingest(*item) for item in work))
        hlf_only = _timed(
            lambda: sum(_ingest(Settings(s.output, False, False, CHUNK, STORAGE), entries) for s, entries in work)
        )
        slow = _timed(lambda: _reference(ranges[0], reference_events, Path(folder)))
        difference = _largest_difference(ranges[0], reference_events)
        through_spark = {cores: _through_spark(work, cores) for cores in (1, 2)}
        sizes = (4 * CHUNK, 16 * CHUNK)
        peaks = {size: _peak(_long_file(files[0], size, Path(folder))) for size in sizes}
    return {
        "one_core": fast.told(),
        "one_core_hlf_only": hlf_only.told(),
        "reference": slow.told(),
        "largest_difference": difference,
        "first_part_seconds": round(first, 2),
        "spark": {str(cores): speed.told() for cores, speed in through_spark.items()},
        "peak_mb": {str(size): round(peak, 1) for size, peak in peaks.items()},
        "ratios": {
            "to_reference": round(fast.rate / slow.rate, 1),
            "to_published": round(fast.rate / PUBLISHED, 1),
            "two_cores_to_one": round(through_spark[2].rate / through_spark[1].rate, 2),
            "peak_4n_to_n": round(peaks[sizes[1]] / peaks[sizes[0]], 3),
        },
    }


def _range(file: Path) -> Range:
    found = rootfile.survey(str(file), STORAGE)
    return Range(str(file), found.file_id, LABEL, 0, found.entries)


def _repeated(ranges: Sequence[Range], events: int, folder: str) -> list[tuple[Settings, Range]]:
    """The files over and over, each time into another data set, until there are enough events."""
    work: list[tuple[Settings, Range]] = []
    while sum(entries.stop for _, entries in work) < events:
        number, place = divmod(len(work), len(ranges))
        work.append((Settings(f"{folder}/{number}", True, False, CHUNK, STORAGE), ranges[place]))
    return work


def _timed(action: Callable[[], int]) -> Speed:
    """What one core does: threads of libraries have no other to go to."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        wall, cpu = time.perf_counter(), time.process_time()
        events = action()
        return Speed(events, time.perf_counter() - wall, time.process_time() - cpu)
    finally:
        os.sched_setaffinity(0, cores)


def _ingest(settings: Settings, entries: Range) -> int:
    # Looking at the file, with its checksum, is part of ingesting it.
    rootfile.survey(entries.url, STORAGE)
    return write_part(settings, entries).counts["read"]


def _by_event(entries: Range, events: int) -> list[Result]:
    chunks = rootfile.read(entries.url, 0, min(events, entries.stop), CHUNK, STORAGE)
    return [features(event) for chunk in chunks for event in rows_of(chunk)]


def _reference(entries: Range, events: int, folder: Path) -> int:
    results = _by_event(entries, events)
    rows = [
        {"hlf": result.hlf, **dict(zip(Particle._fields, map(list, zip(*result.particles, strict=True)), strict=True))}
        for result in results
        if result.hlf and result.particles
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "reference.parquet", compression="zstd")
    return len(results)


def _largest_difference(entries: Range, events: int) -> float:
    """Between both implementations, in any number of any event; relative where numbers are large."""
    expected = [result for result in _by_event(entries, events) if result.hlf]
    (chunk,) = rootfile.read(entries.url, 0, min(events, entries.stop), events, STORAGE)
    found = compute(chunk)
    pairs: list[tuple[Any, Any]] = [(found.hlf, np.array([result.hlf for result in expected]))]
    flat = np.array([particle for result in expected for particle in result.particles or ()])
    columns = found.sequences.columns.values() if found.sequences else ()
    pairs += [(column, flat[:, number]) for number, column in enumerate(columns)]
    return float(max(np.max(np.abs(a - b) / np.maximum(np.abs(b), 1.0)) for a, b in pairs))


def _through_spark(work: Sequence[tuple[Settings, Range]], cores: int) -> Speed:
    with spark_context(SparkConfig(master=f"local[{cores}]")) as context:
        # Python workers start and load their code once, which is not what is measured here.
        run_tasks(context, _ingest_item, work[: 2 * cores])
        wall = time.perf_counter()
        events = sum(run_tasks(context, _ingest_item, work))
        seconds = time.perf_counter() - wall
    return Speed(events, seconds)


def _ingest_item(item: tuple[Settings, Range]) -> int:
    return _ingest(*item)


def _long_file(file: Path, entries: int, folder: Path) -> Path:
    """One file of many events: those of another over and over, in baskets of their number."""
    tree = uproot.open(file)["Delphes"]
    content: dict[str, Any] = {}
    for collection, names in FIELDS.items():
        content[collection] = ak.zip({name: tree[f"{collection}.{name}"].array() for name in names})
    types = {name: ak.type(values).content for name, values in content.items()}
    path = folder / f"{entries}.root"
    with uproot.recreate(path) as output:
        long = output.mktree("Delphes", types, counter_name="{}_size".format, field_name="{}.{}".format)
        while long.num_entries < entries:
            long.extend(content)
    return path


def _peak(file: Path) -> float:
    command = [sys.executable, "-m", "benchmarks.ingest", "--peak-of", str(file)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # noqa: S603 (this file)


def _peak_here(url: str) -> float:
    """Peak resident memory, in MB, of this process after ingesting all of a file as one part."""
    with tempfile.TemporaryDirectory(prefix="hepspark-bench-") as folder:
        write_part(Settings(folder, True, False, CHUNK, STORAGE), _range(Path(url)))
    status = Path("/proc/self/status").read_text()
    return float(status.split("VmHWM:")[1].split()[0]) / 1024


def _sample(files: Sequence[Path]) -> dict[str, Any]:
    (chunk, *_) = rootfile.read(str(files[0]), 0, _range(files[0]).stop, CHUNK, STORAGE)
    names = ("EFlowTrack", "EFlowPhoton", "EFlowNeutralHadron")
    candidates = sum(len(chunk.collections[name].event) for name in names) / len(chunk)
    return {"files": len(files), "candidates_per_event": round(candidates, 1)}


def _tell(results: dict[str, Any]) -> None:
    ratios = results["ratios"]
    measured = {
        "one core, ROOT to Parquet": results["one_core"],
        "one core, without particles": results["one_core_hlf_only"],
        "one core, per-event Python": results["reference"],
        "Spark, local[1]": results["spark"]["1"],
        "Spark, local[2]": results["spark"]["2"],
    }
    columns = ("events", "seconds", "events_per_second", "events_per_cpu_second")
    rows = [{"what": name, **row} for name, row in measured.items()]
    sample = f"{results['conditions']['candidates_per_event']} candidates an event"
    print(table(f"Ingestion of tt̄ events, {sample}", ("what", *columns), rows))
    print(f"  {ratios['to_reference']} times per-event Python; the largest difference of any number is", end=" ")
    print(f"{results['largest_difference']:.1e}")
    print(f"  {ratios['to_published']} times the published {PUBLISHED:.0f} events/s a core")
    print(f"  two cores give {ratios['two_cores_to_one']} times as much as one")
    print(f"  first part of a process, with loading and compiling: {results['first_part_seconds']} s")
    peaks = ", ".join(f"{peak} MB for {size} events" for size, peak in results["peak_mb"].items())
    print(f"  peak memory: {peaks}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
