"""Tests of hepspark; the folder is the tier."""
