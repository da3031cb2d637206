"""The mirror: everything an installation fetches, below one base URL and in one image registry."""
