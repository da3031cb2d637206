"""The 14 high-level features."""

from typing import Final

import numpy as np
import numpy.typing as npt

from hepspark.events import Events
from hepspark.features.selection import Leptons

JET_PT: Final = 30.0
"""Jets count above this pT, in GeV."""

JET_ETA: Final = 2.6
"""Jets count within this |η|."""


def high_level(events: Events, leptons: Leptons, *, published: bool) -> npt.NDArray[np.float32]:
    """The features of selected events, in the order of `schema.HLF`.

    Args:
        events: n events.
        leptons: The lepton of each of m selected events.
        published: Whether MT is squared, as in the published code.

    Returns:
        Shape (m, 14): momenta in GeV, angles in radians.
    """
    jets = events.collections["Jet"]
    jets = jets.where((jets.columns["PT"] > JET_PT) & (np.abs(jets.columns["Eta"]) < JET_ETA))
    event, n = jets.event, len(events)
    ht = np.bincount(event, jets.columns["PT"], n)
    n_jets = np.bincount(event, minlength=n)
    n_bjets = np.bincount(event, jets.columns["BTag"] > 0, n)
    chosen = leptons.event
    met, met_phi = events.met[chosen], events.met_phi[chosen]
    mt2 = 2.0 * met * leptons.pt * (1.0 - np.cos(leptons.phi - met_phi))
    columns = [
        ht[chosen],
        met,
        met_phi,
        mt2 if published else np.sqrt(np.maximum(mt2, 0.0)),
        n_jets[chosen],
        n_bjets[chosen],
        leptons.pt,
        leptons.eta,
        leptons.phi,
        *leptons.isolation.T,
        leptons.charge,
        leptons.is_electron,
    ]
    features: npt.NDArray[np.float32] = np.stack(columns, axis=1).astype(np.float32)
    return features
