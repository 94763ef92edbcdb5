"""`cardhour import` and `cardhour export`: whole markets."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from app.client import Client, JobFailed
from app.client.market import market_files
from app.client.types import ImportOut
from app.commands.console import (
    EXIT_REFUSED,
    TIME_HELP,
    AsJson,
    MarketPart,
    api,
    err,
    moment,
    out,
    print_json,
    print_table,
)


def add_bulk_commands(app: typer.Typer) -> None:
    """Add `import` and `export` to the command line."""
    app.command("import")(import_market)
    app.command("export")(export_market)


def import_market(
    market: Annotated[Path, typer.Option(help="The folder with offers, requests, buyers, suppliers.", metavar="DIR")],
    start_at: Annotated[
        str | None,
        typer.Option(help=f"Shift all times so that the earliest is this: {TIME_HELP}.", parser=moment, metavar="TIME"),
    ] = None,
    chips: Annotated[
        Path | None, typer.Option(help="The chips; else chips.csv in DIR or up to two folders above, else none.")
    ] = None,
    namespace: Annotated[str | None, typer.Option(help="Put NAME: before every reference.", metavar="NAME")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Keep the good rows; else one bad row refuses all.")] = (
        False
    ),
    update: Annotated[bool, typer.Option("--update", help="Change rows that exist with other values.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing; tell what would be written.")] = False,
    as_json: AsJson = False,
) -> None:
    """Import a market from CSV or JSON Lines; every bad row is named. Importing the same again changes nothing.

    Exits 1 if it was refused. Example: `cardhour import --market app/demo/market --start-at now`
    """
    with api() as client:
        try:
            job = _run_import(
                client,
                market_files(market, chips),
                skip_bad=skip_bad,
                update=update,
                dry_run=dry_run,
                start_at=start_at,
                namespace=namespace,
            )
        except JobFailed as failed:
            _print_failure(failed.job, as_json)
            raise typer.Exit(EXIT_REFUSED) from None
    print_json(job) if as_json else _print_import(job)


def export_market(
    market: Annotated[Path, typer.Option(help="The folder to write to; made if need be.", metavar="DIR")],
    format: Annotated[  # noqa: A002  the option's name
        Literal["csv", "jsonl"], typer.Option(help="What CSV can't carry is refused there; JSON Lines carries all.")
    ] = "csv",
    what: Annotated[list[MarketPart] | None, typer.Option(help="Only these; repeatable.")] = None,
    namespace: Annotated[
        str | None, typer.Option(help="Only what is in it, its prefix taken off.", metavar="NAME")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Export the market, or one's own part of it, to a folder that can be imported again.

    Exits 1 if the format can't carry a row. Example: `cardhour export --market market-today --format jsonl`
    """
    with api() as client, _progress() as show:
        try:
            files = client.exports.run(
                format=format, what=[part.value for part in what or MarketPart], namespace=namespace, on_progress=show
            )
        except JobFailed as failed:
            _print_failure(failed.job, as_json)
            raise typer.Exit(EXIT_REFUSED) from None
    try:
        market.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (market / Path(name).name).write_bytes(content)
    except OSError as error:
        raise typer.BadParameter(f"{market}: {error.strerror}") from None
    if as_json:
        print_json([{"name": name, "bytes": len(content)} for name, content in files.items()])
    else:
        rows = ((market / name, len(content)) for name, content in files.items())
        print_table(("file", ">bytes"), rows, empty="Nothing was exported.")


class _progress:  # noqa: N801  a context manager
    """A bar on standard error that follows a job; nothing where that is no terminal."""

    def __init__(self) -> None:
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=err,
            transient=True,
            disable=not err.is_terminal,
        )
        self._task = self._bar.add_task("sending", total=None)

    def __enter__(self) -> Callable[[Any], None]:
        self._bar.start()
        return self._show

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def _show(self, job: Any) -> None:
        told = job["progress"]
        self._bar.update(self._task, description=told["phase"], completed=told["done"], total=told["total"] or None)


def _run_import(client: Client, files: Mapping[str, bytes], **options: Any) -> ImportOut:
    with _progress() as show:
        return client.imports.run(files, **options, on_progress=show)


def _print_import(job: ImportOut) -> None:
    result = job["result"]
    if result is None:
        return
    print_table(
        ("file", ">inserted", ">changed", ">unchanged", ">skipped"),
        (
            (name, counts["inserted"], counts["changed"], counts["unchanged"], counts["skipped"])
            for name, counts in result["files"].items()
        ),
        empty="Nothing was in the files.",
    )
    if result["dry_run"]:
        out.print("Nothing was written: this was a dry run.", style="yellow")
    _print_findings("Left out", cast("list[dict[str, Any]]", result["bad_rows"]), result["more_bad_rows"])
    _print_findings("To note", cast("list[dict[str, Any]]", result["notices"]), result["more_notices"])


def _print_failure(job: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(job)
        return
    error = job["error"]
    if error is None:
        err.print(f"The job was {job['state']}; nothing was written.")
        return
    err.print(Text.assemble(("Error: ", "bold red"), f"{error['detail']} ({error['code']})"), soft_wrap=True)
    _print_findings("Bad rows", error["bad_rows"], error["more_bad_rows"])


def _print_findings(title: str, findings: Sequence[Mapping[str, Any]], more: int) -> None:
    if not findings:
        return
    out.print(Text(f"\n{title}:", "bold"))
    for row in findings:
        where = f"{row['file']}:{row['line']}" + (f" {row['column']}" if row["column"] else "")
        out.print(Text(f"{where}: {row['detail']} ({row['code']})"), soft_wrap=True)
    if more:
        out.print(f"… and {more:,} more")
