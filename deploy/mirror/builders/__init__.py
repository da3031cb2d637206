"""How artefacts are made: Go programs, Debian packages, images."""
