"""A kernel of a facility's server, for tests: its environment, and what it may need besides."""

SERVER = {"POD_NAMESPACE": "hub-alice", "HEPSPARK_IMAGE": "spark:1", "JUPYTERHUB_SERVICE_PREFIX": "/user/alice/"}
"""A server without executors, so that no cluster is needed."""
ANY_PORT = """
from hepspark.notebook import settings
pages = settings._pages
settings._pages = lambda place: pages(place) | {"spark.ui.port": "0"}
"""
"""Who runs the tests may have another Spark, whose pages have the facility's port."""
