"""What steps have written, read back for a look at it."""

import json

from pydantic import TypeAdapter, ValidationError

from hepspark.errors import InputError
from hepspark.metrics import Metrics
from hepspark.model import artefact
from hepspark.model.artefact import Model
from hepspark.notebook.facility import storage
from hepspark.place import argument
from hepspark.storage import store_for


def load_model(url: str) -> Model:
    """A trained model: its network, weights, scaling, and how its training went.

    Args:
        url: As in the summary of `train`, or a copy of that folder.

    Raises:
        InputError: there is none, or a file of it is missing or was altered.
    """
    return artefact.load(argument("load_model", url), storage())


def load_metrics(url: str) -> Metrics:
    """What `evaluate` measured.

    Args:
        url: Of evaluation.json, as in the summary of `evaluate`.

    Raises:
        InputError: there is none, or it is of another version of hepspark.
    """
    url = argument("load_metrics", url)
    store = store_for(url, storage())
    if not store.exists(url):
        raise InputError(f"{url}: no such evaluation; make one with evaluate()")
    try:
        return TypeAdapter(Metrics).validate_python(json.loads(store.read(url))["metrics"])
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise InputError(f"{url}: not an evaluation of this hepspark: {error}; evaluate again") from error
