"""The Spark image: its entrypoint, its jars, what it leaves out."""
