"""Where the link leads that a notebook shows of a Spark."""

from types import SimpleNamespace

from IPython.core.formatters import DisplayFormatter
from pyspark import SparkContext

from hepspark.notebook.links import lead_to

PAGES = "/user/alice/sparkui/jobs/"


def test_a_spark_shows_a_link_to_its_pages_behind_the_hub():
    address = SimpleNamespace(nonEmpty=lambda: True, get=lambda: "http://10.1.2.3:4040")
    scala = SimpleNamespace(uiWebUrl=lambda: address, version=lambda: "3.5.8")
    context = SparkContext.__new__(SparkContext)  # what it shows is its own; only Java's half is not there
    context._jsc = SimpleNamespace(sc=lambda: scala, version=scala.version)
    context.master, context.appName = "k8s://kubernetes", "mine"
    before = context._repr_html_()
    assert "10.1.2.3" in before
    formatter = DisplayFormatter()
    lead_to(PAGES, SimpleNamespace(display_formatter=formatter))
    shown = formatter.formatters["text/html"](context)
    assert shown == before.replace("http://10.1.2.3:4040", PAGES)
