"""Where data lies: the user's own, what everybody may read, and a sample to begin with."""

import os
from pathlib import Path

from hepspark import dataset
from hepspark.errors import HepsparkError, InputError
from hepspark.notebook.facility import facility, storage
from hepspark.place import argument
from hepspark.storage import join

_SAMPLE = "sample"
_IMAGE = Path("/usr/local/share/hepspark")
_WORK_TREE = Path(__file__).parents[4] / "tests" / "data"


def workspace() -> str:
    """URL of the folder that is the user's own: in the facility's store, or `workspace` beside the notebook."""
    return argument("HEPSPARK_WORKSPACE", os.environ.get("HEPSPARK_WORKSPACE") or "workspace")


def event_logs() -> str:
    """URL of the folder in which Spark writes down what it did, in the user's own."""
    return join(workspace(), "spark-history")


def public() -> tuple[str, ...]:
    """URLs of the buckets that everybody may read; none where there is no facility."""
    if facility() is None:
        return ()
    return tuple(f"s3a://{bucket}" for bucket in os.environ.get("HEPSPARK_PUBLIC", "").split(",") if bucket)


def sample() -> str:
    """URL of a data set of simulated events to begin with, which `train` takes.

    Raises:
        InputError: none came with this installation.
    """
    places = [
        *(join(bucket, _SAMPLE) for bucket in public()),
        *(str(folder / _SAMPLE) for folder in (_IMAGE, _WORK_TREE)),
    ]
    for url in places:
        try:
            if dataset.find(url, storage()):
                return url
        except HepsparkError:
            continue  # a bucket may be closed, or its store away; there are other places
    raise InputError("no sample data set is here; make one with `hepspark simulate` and `hepspark ingest`")


def sample_root() -> str:
    """Folder of this machine with some simulated ROOT files, one for each class; executors may not see it.

    Raises:
        InputError: none came with this installation.
    """
    for folder in (_IMAGE / "root", _WORK_TREE / "root"):
        if any(folder.glob("*.root")):
            return str(folder)
    raise InputError("no sample ROOT files are here; make some with `hepspark simulate`")
