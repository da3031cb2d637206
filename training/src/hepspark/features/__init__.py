"""From events to the features that networks take: selection, high-level features, particle sequences.

Definitions follow arXiv:1909.10389 and arXiv:1807.00083, and are computed for many events at once.
"""

from hepspark.features.compute import CUTS, Features, compute
from hepspark.features.identity import event_hashes

__all__ = ["CUTS", "Features", "compute", "event_hashes"]
