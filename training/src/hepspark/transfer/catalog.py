"""The SparkDLTrigger data sets that CERN publishes.

Source: github.com/cerndb/SparkDLTrigger, Data/README.md (names, formats, rounded sizes, rows; CC0). No checksums stand
there. For the HLF features in Parquet a fork (github.com/jenniew/SparkDLTrigger) keeps Git LFS pointers that give
each file's SHA-256 and size; a file name carries the UUID of the Spark job that wrote it, so the same name is the
same file. The README has the sizes of the two HLF TFRecord sets the wrong way round, as those pointers show.
"""

import difflib
from dataclasses import dataclass, field

from hepspark.errors import InputError


@dataclass(frozen=True)
class PublishedFile:
    """A file whose checksum is published: bytes and SHA-256 in hexadecimal."""

    size: int
    sha256: str


@dataclass(frozen=True)
class PublishedDataset:
    """A published data set: a folder of files on the web."""

    name: str
    format: str
    size: int
    """Bytes; rounded by its publisher where `files` is empty."""
    about: str
    files: dict[str, PublishedFile] = field(default_factory=dict)
    """Published checksums by file name."""


_MB, _GB = 10**6, 10**9
_FEATURES = "14 high-level features and label"
_SEQUENCES = "14 high-level features, 801 particles of 19 features, and label"


def _parquet_files(job: str, *files: tuple[int, str]) -> dict[str, PublishedFile]:
    return {
        f"part-{number:05d}-{job}-c000.snappy.parquet": PublishedFile(size, sha256)
        for number, (size, sha256) in enumerate(files)
    }


_TRAIN_HLF = _parquet_files(
    "89303fa0-6224-4afb-9758-195afcfec5fa",
    (78_393_118, "0ac6894ae2e5904e3c00156436866909e5ba0ebf9bf329eeaffb33dcb23edb3a"),
    (78_469_343, "768dba685c977cc55671535653851ac4d6bff8cda1ade307962bc9fb81a62396"),
    (78_427_755, "245a151f2c6544281ba640e32671adc62af24f2c6410570349750557cc35367f"),
    (78_685_826, "8b4b5eb20f0e44b3f2dd855599d043aae0014e0f678f413c74c032105e95b8b9"),
)
_TEST_HLF = _parquet_files(
    "690a3d7a-5515-4e67-ad7d-20cdfd820b99",
    (78_242_816, "9d2f8e6b206468e22817e00eed28450a71a930a3b8e2cda811d0ddcf4911205f"),
)


def _size(files: dict[str, PublishedFile]) -> int:
    return sum(file.size for file in files.values())


DATASETS = (
    PublishedDataset(
        "trainUndersampled_HLF_features.parquet",
        "Parquet",
        _size(_TRAIN_HLF),
        f"{_FEATURES}; 3.4 million events to train on",
        _TRAIN_HLF,
    ),
    PublishedDataset(
        "testUndersampled_HLF_features.parquet", "Parquet", _size(_TEST_HLF), f"{_FEATURES}; to test on", _TEST_HLF
    ),
    PublishedDataset("trainUndersampled_HLF_features.tfrecord", "TFRecord", 422 * _MB, f"{_FEATURES}; to train on"),
    PublishedDataset("testUndersampled_HLF_features.tfrecord", "TFRecord", 106 * _MB, f"{_FEATURES}; to test on"),
    PublishedDataset("testUndersampled_2kevents.parquet", "Parquet", 162 * _MB, f"{_SEQUENCES}; 2,000 events"),
    PublishedDataset("trainUndersampled.parquet", "Parquet", 255 * _GB, f"{_SEQUENCES}; all columns, to train on"),
    PublishedDataset("testUndersampled.parquet", "Parquet", 64 * _GB, f"{_SEQUENCES}; all columns, to test on"),
    PublishedDataset(
        "trainUndersampled_InclusiveClassifier.parquet", "Parquet", 132 * _GB, f"{_SEQUENCES}; to train on"
    ),
    PublishedDataset("testUndersampled_InclusiveClassifier.parquet", "Parquet", 32 * _GB, f"{_SEQUENCES}; to test on"),
    PublishedDataset(
        "trainUndersampled_InclusiveClassifier.tfrecord", "TFRecord", 195 * _GB, f"{_SEQUENCES}; to train on"
    ),
    PublishedDataset(
        "testUndersampled_InclusiveClassifier.tfrecord", "TFRecord", 49 * _GB, f"{_SEQUENCES}; to test on"
    ),
    PublishedDataset("lepFilter_rawData_SAMPLE", "ROOT", 14 * _GB, "Delphes events: a sample of the simulated input"),
    PublishedDataset(
        "dataIngestion_full_13TeV_SAMPLE", "Parquet", 6_400 * _MB, "a sample of the published ingestion's output"
    ),
)


def dataset(name: str) -> PublishedDataset:
    """The data set of that name.

    Raises:
        InputError: there is none; the message names the nearest.
    """
    by_name = {entry.name: entry for entry in DATASETS}
    if name in by_name:
        return by_name[name]
    nearest = difflib.get_close_matches(name, by_name, n=1, cutoff=0.0)[0]
    raise InputError(f"{name}: not a published data set; did you mean {nearest}? `hepspark data public` lists all")
