"""`hepspark model`: whether a trained model is whole, and what it is."""

import json
from typing import Any

from hepspark.config import Config
from hepspark.model import artefact
from hepspark.model.artefact import Model
from hepspark.place import argument
from hepspark.progress import say
from hepspark.storage import join, store_for


def describe(config: Config, url: str) -> dict[str, Any]:
    """Verify the checksums of a model, and tell what it is.

    Args:
        config: Section `storage`, and `evaluate.output` where the model's evaluation is not in the folder of its run.
        url: The model directory.

    Returns:
        What is told; `auc` and `accuracy` on test events are None where no evaluation of this very model is found.

    Raises:
        InputError: there is no model, or a file of it is missing or was altered.
    """
    url = argument("model", url)
    model = artefact.load(url, config.storage)
    evaluation = _evaluation(model, config)
    layers = " → ".join(
        str(width) for width in (model.network.inputs, *(layer.units for layer in model.network.layers))
    )
    found: dict[str, Any] = {
        "model": url,
        "network": model.network.name,
        "weights": model.network.size,
        "events": {side: sum(counts.values()) for side, counts in model.counts.items()},
        "epochs": len(model.history),
        **{key: model.summary.get(key) for key in ("best_epoch", "validation_loss", "validation_accuracy", "finished")},
        **(evaluation or {"auc": None, "accuracy": None}),
        "versions": model.versions,
    }
    say(f"{url}: all files are there and unaltered")
    say(f"network   {model.network.name}: {layers}, {model.network.size:,} weights")
    say("events    " + ", ".join(f"{side} {events:,}" for side, events in found["events"].items()))
    say(f"epochs    {found['epochs']}, the best is {found['best_epoch']}; finished {found['finished']}")
    if evaluation:
        areas = ", ".join(f"{signal} {auc:.4f}" for signal, auc in evaluation["auc"].items())
        say(f"test      AUC against the rest: {areas}; accuracy {evaluation['accuracy']:.4f}")
    else:
        say("test      not evaluated")
    say("versions  " + ", ".join(f"{name} {version}" for name, version in model.versions.items()))
    return found


def _evaluation(model: Model, config: Config) -> dict[str, Any] | None:
    """The metrics of this model on test events, where it was evaluated after it was trained."""
    # As `folder` of the configuration lays out a run.
    url = join(config.evaluate.output or join(model.url.removesuffix("/run/model"), "report"), "evaluation.json")
    store = store_for(url, config.storage)
    if not store.exists(url):
        return None
    try:
        content = json.loads(store.read(url))
        # By its training, not by its place: a run may have been moved, or brought from a store.
        same = (content["trained"], content["history"]) == (str(model.summary.get("finished", "")), [*model.history])
        return (
            {
                "auc": {roc["signal"]: roc["auc"] for roc in content["metrics"]["one_vs_rest"]},
                "accuracy": content["metrics"]["accuracy"]["value"],
            }
            if same
            else None
        )
    except (ValueError, KeyError, TypeError):
        return None  # of another version
