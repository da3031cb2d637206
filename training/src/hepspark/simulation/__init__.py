"""Simulated proton collisions: event generation, pile-up, a parametrised detector, ROOT files."""
