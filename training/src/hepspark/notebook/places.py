"""Where data lies: the user's own, what everybody may read, and a sample to begin with."""

import os
from pathlib import Path

from hepspark import dataset
from hepspark.errors import HepsparkError, InputError
from hepspark.notebook.facility import facility, storage
from hepspark.storage import join

_SAMPLE = "sample"


def workspace() -> str:
    """URL of the folder that is the user's own: in the facility's store, or `workspace` beside the notebook."""
    return os.environ.get("HEPSPARK_WORKSPACE", "").rstrip("/") or "workspace"


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
        f"/usr/local/share/hepspark/{_SAMPLE}",  # in the images
        str(Path(__file__).parents[4] / "tests" / "data" / _SAMPLE),  # in a work tree
    ]
    for url in places:
        try:
            if dataset.find(url, storage()):
                return url
        except HepsparkError:
            continue  # a bucket may be closed, or its store away; there are other places
    raise InputError("no sample data set is here; make one with `hepspark simulate` and `hepspark ingest`")
