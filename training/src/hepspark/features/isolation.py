"""What counts as near a particle."""

from typing import Final

CONE: Final = 0.3
"""Radius ΔR of the isolation cone."""

OWN_TRACK: Final = 1e-4
"""A track closer than this in ΔR to a lepton is the lepton's own."""
