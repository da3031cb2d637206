"""A training run on disk: its frozen plan, its shards, its commits and its model."""
