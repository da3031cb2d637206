"""Names that data sets, models and reports share: classes, features, columns."""

from typing import Final

CLASSES: Final = ("qcd", "ttbar", "wjets")
"""Event classes; the label of a class is its position (arXiv:1909.10389)."""

CLASS_TITLES: Final = ("QCD", "tt̄", "W+jets")
"""The classes as they are written on plots."""

UNLABELLED: Final = "unlabelled"
"""The key under which ingest takes events whose class is unknown, such as collision data."""

NO_LABEL: Final = -1
"""The label of an unlabelled event."""

HLF: Final = (
    "HT",
    "MET",
    "MET_phi",
    "MT",
    "nJets",
    "nBjets",
    "LepPt",
    "LepEta",
    "LepPhi",
    "LepIsoCh",
    "LepIsoGamma",
    "LepIsoNeu",
    "LepCharge",
    "LepIsEle",
)
"""The 14 high-level features, in the order the networks take them. Momenta are in GeV, angles in radians."""

PARTICLE_COLUMNS: Final = (
    "particle_pt",
    "particle_eta",
    "particle_phi",
    "particle_vtx_x",
    "particle_vtx_y",
    "particle_vtx_z",
    "particle_iso_ch",
    "particle_iso_gamma",
    "particle_iso_neu",
    "particle_type",
    "particle_charge",
)
"""List columns of a data set, one entry a particle; the other 8 of the 19 numbers follow from these."""

PARTICLE_TYPES: Final = ("charged_hadron", "neutral_hadron", "photon", "electron", "muon")
"""What the integers of `particle_type` mean, by position."""

DATASET_SCHEMA: Final = 2
"""Version of the data set's layout; a reader refuses any other."""

MODEL_SCHEMA: Final = 1
"""Version of the model directory's layout; a reader refuses any other."""

PLAN_SCHEMA: Final = 1
"""Version of a run's plan and of its shards; those without a version are older."""

COMMIT_SCHEMA: Final = 1
"""Version of a run's commits; those without a version are older."""
