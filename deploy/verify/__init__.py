"""Checks a running cluster from the outside, as its users will use it: `python -m deploy.verify`."""
