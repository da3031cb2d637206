"""The configuration of the facility's JupyterHub, as Python in files; the chart's values reach it as one JSON file."""
