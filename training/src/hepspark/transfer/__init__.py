"""Carries files to and from S3 and the web: in parts, resumed where it was interrupted, verified at the end."""
