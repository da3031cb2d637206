"""Networks: their description, inference in numpy, the engine that trains them, and the artefact on disk."""
