"""The command line: one subcommand per step. Only what a command needs is imported, so that --help is instant."""

import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any

import typer

from hepspark import __version__

app = typer.Typer(
    name="hepspark",
    help="Trains particle-physics event classifiers with BigDL on Spark, on one machine or on Kubernetes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
config_app = typer.Typer(help="Show the configuration, or its schema.", no_args_is_help=True, rich_markup_mode=None)
data_app = typer.Typer(help="Copy files to and from S3, and list them.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(config_app, name="config")
app.add_typer(data_app, name="data")

ConfigFile = Annotated[
    str | None, typer.Argument(metavar="CONFIG", help="YAML file. Keys that it does not set keep their defaults.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Set a key. Repeat it for more keys; the last value of a key counts."
    ),
]
StorageFile = Annotated[str | None, typer.Option("--config", help="YAML file with the storage section.")]
SummaryUrl = Annotated[
    str | None, typer.Option("--summary", metavar="URL", help="Write the JSON summary to this URL, too.")
]
DebugFlag = Annotated[bool, typer.Option("--debug", help="Show the stack trace of an error.")]


def _help(does: str, example: str) -> str:
    # Paragraphs marked \b keep their line breaks.
    return f"{does}\n\n\b\nExample:\n  {example}\n\nA JSON summary goes to standard output, unless that is a terminal."


def _run(name: str, config: str | None, overrides: list[str] | None, summary: str | None, *, debug: bool) -> None:
    def work() -> Any:
        from hepspark.runner import run_step

        return run_step(name, config, overrides or (), summary)

    _guard(work, debug=debug)


def _step(name: str, does: str, example: str) -> None:
    """Add the subcommand of a step."""

    def command(
        config: ConfigFile = None, overrides: Overrides = None, summary: SummaryUrl = None, debug: DebugFlag = False
    ) -> None:
        _run(name, config, overrides, summary, debug=debug)

    app.command(name, help=_help(does, example))(command)


_step(
    "simulate",
    "Simulate collision events of the three classes and write them as ROOT files.",
    "hepspark simulate --set simulate.output=events --set simulate.events=1000",
)


@app.command(
    "ingest",
    help=_help(
        "Turn ROOT files into a data set of features and particle sequences.",
        "hepspark ingest --set 'ingest.input={ttbar: [events/ttbar-*.root]}' --set ingest.output=dataset",
    ),
)
def ingest(
    config: ConfigFile = None,
    overrides: Overrides = None,
    on_bad_file: Annotated[
        str | None, typer.Option("--on-bad-file", metavar="fail|skip", help="Same as --set ingest.on_bad_file=…")
    ] = None,
    summary: SummaryUrl = None,
    debug: DebugFlag = False,
) -> None:
    """What to do with a bad file is an option of its own, because it is asked for after one was found."""
    own = [f"ingest.on_bad_file={on_bad_file}"] if on_bad_file else []
    _run("ingest", config, [*(overrides or []), *own], summary, debug=debug)


_step(
    "train",
    "Train a network; the same command continues an interrupted run.",
    "hepspark train --set 'train.input=[dataset]' --set train.output=run",
)
_step(
    "evaluate",
    "Score the test events of a trained model, and write figures and a report.",
    "hepspark evaluate --set evaluate.model=run/model --set evaluate.output=report",
)
_step(
    "predict",
    "Score every event of data sets and write the class probabilities as Parquet.",
    "hepspark predict --set predict.model=run/model --set 'predict.input=[dataset]' --set predict.output=scores",
)


_step(
    "line",
    "Ingest, train, evaluate and predict: every step whose output the configuration names.",
    "hepspark line run.yaml --set train.epochs=5",
)


@app.command("model")
def model(
    url: Annotated[str, typer.Argument(help="Folder of the model, from train.")],
    config: StorageFile = None,
    overrides: Overrides = None,
    debug: DebugFlag = False,
) -> None:
    r"""Verify a trained model. Show its network, events, epochs, versions, and its AUC if it was evaluated.

    A JSON summary goes to standard output, unless that is a terminal.

    \b
    Example:
      hepspark model s3a://runs/demo/run/model
    """
    _call("model", "describe", config, overrides, url, debug=debug)


@config_app.command("show")
def show(config: ConfigFile = None, overrides: Overrides = None, debug: DebugFlag = False) -> None:
    r"""Print the configuration with every default, as YAML.

    \b
    Example:
      hepspark config show run.yaml --set train.epochs=5
    """

    def work() -> None:
        import yaml

        from hepspark.config import load

        content = load(config, overrides or ()).model_dump(mode="json")
        typer.echo(yaml.safe_dump(content, sort_keys=False), nl=False)

    _guard(work, debug=debug)


@config_app.command("schema")
def schema() -> None:
    r"""Print the JSON Schema of the configuration.

    \b
    Example:
      hepspark config schema > schema.json
    """

    def work() -> None:
        from hepspark.config import schema

        typer.echo(json.dumps(schema(), indent=1))

    _guard(work)


@data_app.command("put")
def put(
    source: Annotated[str, typer.Argument(help="A file, or a folder: all its files.")],
    target: Annotated[str, typer.Argument(help="s3a://bucket/key")],
    config: StorageFile = None,
    overrides: Overrides = None,
    debug: DebugFlag = False,
) -> None:
    r"""Upload files. An interrupted upload continues. Files that are there with the same checksum are not sent.

    \b
    Example:
      hepspark data put events s3a://physics/events --set storage.endpoint=http://127.0.0.1:9000
    """
    _data("put", config, overrides, source, target, debug=debug)


@data_app.command("get")
def get(
    source: Annotated[str, typer.Argument(help="s3a://bucket/key of an object or a folder.")],
    target: Annotated[str, typer.Argument(help="A file or folder.")],
    config: StorageFile = None,
    overrides: Overrides = None,
    debug: DebugFlag = False,
) -> None:
    r"""Download files and verify them. An interrupted download continues.

    \b
    Example:
      hepspark data get s3a://physics/run/model model
    """
    _data("get", config, overrides, source, target, debug=debug)


@data_app.command("ls")
def ls(
    url: Annotated[str, typer.Argument(help="Folder, or s3a://bucket/prefix.")],
    config: StorageFile = None,
    overrides: Overrides = None,
    debug: DebugFlag = False,
) -> None:
    r"""List the files below a URL.

    \b
    Example:
      hepspark data ls s3a://physics/
    """
    _data("ls", config, overrides, url, debug=debug)


@data_app.command("url")
def url(
    object_url: Annotated[str, typer.Argument(metavar="URL", help="s3a://bucket/key of an object.")],
    hours: Annotated[int, typer.Option("--hours", help="Hours for which the link is valid, at most 168.")] = 24,
    config: StorageFile = None,
    overrides: Overrides = None,
    debug: DebugFlag = False,
) -> None:
    r"""Make a link to an object. For some hours, a browser can open the link without credentials.

    \b
    Example:
      hepspark data url s3a://physics/report/report.html --hours 48
    """
    _data("url", config, overrides, object_url, hours, debug=debug)


@data_app.command("public")
def public(
    name: Annotated[str | None, typer.Argument(help="Data set to load. Without a name, all are listed.")] = None,
    target: Annotated[str | None, typer.Argument(help="Folder or s3a:// URL for its files.")] = None,
    config: StorageFile = None,
    overrides: Overrides = None,
    debug: DebugFlag = False,
) -> None:
    r"""List the data sets that CERN published for these classifiers, or load one.

    \b
    Example:
      hepspark data public
    """
    _data("public", config, overrides, name, target, debug=debug)


def _version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=lambda v: _version(wanted=v))
    ] = False,
) -> None:
    """Options that every command has."""


def _data(action: str, config: str | None, overrides: list[str] | None, *arguments: Any, debug: bool) -> None:
    _call("data", action, config, overrides, *arguments, debug=debug)


def _call(
    module: str, action: str, config: str | None, overrides: list[str] | None, *arguments: Any, debug: bool
) -> None:
    """Call a function of a module in `hepspark.steps`, which takes the configuration first."""

    def work() -> Any:
        from hepspark.config import load

        step = importlib.import_module(f"hepspark.steps.{module}")
        return getattr(step, action)(load(config, overrides or ()), *arguments)

    _guard(work, debug=debug)


def _guard(work: Callable[[], Any], *, debug: bool = False) -> None:
    """Run a command, print its summary, and turn a failure into one message and its exit code."""
    from hepspark.errors import HepsparkError, first_line

    try:
        result = work()
    except HepsparkError as error:
        if debug:
            traceback.print_exc()
        typer.echo(f"hepspark: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    except KeyboardInterrupt as error:
        typer.echo("hepspark: interrupted; the same command continues from here", err=True)
        raise typer.Exit(130) from error
    except BrokenPipeError as error:
        # Whoever read our output has left; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from error
    except Exception as error:
        if debug:
            traceback.print_exc()
        typer.echo(f"hepspark: {type(error).__name__}: {first_line(error)}; --debug shows the place", err=True)
        raise typer.Exit(1) from error
    # A person has read the same in words already, on standard error.
    if result is not None and not sys.stdout.isatty():
        typer.echo(json.dumps(result, indent=1))


def main(argv: list[str]) -> int:
    """Run the command line.

    Returns:
        0 done or handed over to a newer submission, 1 the run failed, 2 the input is wrong, 130 interrupted,
        143 ended by SIGTERM.
    """
    try:
        app(argv, prog_name="hepspark")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0
