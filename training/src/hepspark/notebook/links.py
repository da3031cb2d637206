"""Has the link that a notebook shows of a Spark lead to its pages behind the hub, not to the server's pod."""

from typing import Any

_KINDS = (("pyspark.sql.session", "SparkSession"), ("pyspark.context", "SparkContext"))


def lead_to(pages: str, shell: Any) -> None:
    """Change what is shown of a Spark from now on.

    Args:
        pages: Where Spark's pages are.
        shell: IPython's, of a kernel.
    """

    def shown(spark: Any) -> str:
        context = getattr(spark, "sparkContext", spark)
        return str(spark._repr_html_()).replace(str(context.uiWebUrl), pages)

    for module, name in _KINDS:
        shell.display_formatter.formatters["text/html"].for_type_by_name(module, name, shown)
