"""The `cardhour` command. What touches the database itself is here; the rest goes through the API's client."""

import asyncio
import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Final

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from app import __version__, local, schema
from app.accounts.models import Role
from app.commands.programmes import programmes
from app.kit.db import APP_ROLE, AUDITOR_ROLE
from app.kit.logging import configure_logging
from app.runtime import Runtime
from app.serving import serve as run_service
from app.settings import Settings
from app.verification.service import Finding
from app.verification.service import verify as run_checks
from app.worker import work

EXIT_REFUSED: Final = 1
_out: Final = Console()
_err: Final = Console(stderr=True)

app = typer.Typer(
    name="cardhour",
    help="A matching marketplace for AI compute: card-hours listed, matched, reserved, never oversold.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
)


def _fail(message: str) -> typer.Exit:
    _err.print(f"[bold red]Error:[/] {message}", highlight=False)
    return typer.Exit(EXIT_REFUSED)


def _settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        raise _fail(f"the settings are not valid: {told}") from None


@contextmanager
def _runtime(settings: Settings) -> Generator[Runtime]:
    """A started runtime, closed at the end."""
    runtime = Runtime(settings)
    try:
        runtime.start()
    except RuntimeError as error:
        raise _fail(str(error)) from None
    try:
        yield runtime
    finally:
        runtime.close()


@contextmanager
def _quiet_runtime() -> Generator[Runtime]:
    """A started runtime for a short command: only warnings and worse are logged."""
    settings = _settings()
    configure_logging(level="WARNING", as_json=settings.log_json)
    with _runtime(settings) as runtime:
        yield runtime


def _version(value: bool) -> None:
    if value:
        typer.echo(f"cardhour {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take the options that come before any command."""


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port.", show_default="8000")] = None,
    worker: Annotated[bool, typer.Option(help="Start a worker beside the service.")] = True,
) -> None:
    """Serve the API, with a worker beside it.

    Without DATABASE_URL it starts an embedded PostgreSQL in CARDHOUR_DATA_DIR and migrates it.

    Example: `cardhour serve --port 8000`
    """
    settings = _settings()
    configure_logging(level=settings.log_level, as_json=settings.log_json)
    with _runtime(settings) as runtime:
        _prepare(runtime)
        url = f"http://{host or settings.host}:{port or settings.port}"
        _err.print(f"Cardhour serves at [bold]{url}[/] (API documentation at {url}/docs); Ctrl-C stops it.")
        run_service(runtime, host=host or settings.host, port=port or settings.port, with_worker=worker)


def _prepare(runtime: Runtime) -> None:
    """Migrate the embedded database; of any other only check that it has been."""
    if runtime.embedded is not None:
        asyncio.run(local.migrate(runtime))
        return

    async def check() -> bool:
        database = runtime.database(APP_ROLE, pool_size=1)
        try:
            return await schema.is_current(database)
        finally:
            await database.dispose()

    if not asyncio.run(check()):
        raise _fail("the database is not at this release's newest migration; run: cardhour migrate")


@app.command("worker")
def worker_command(
    follow_parent: Annotated[
        bool, typer.Option("--follow-parent", help="Stop when standard input closes.", hidden=True)
    ] = False,
) -> None:
    """Run a worker alone: the expiry sweep, imports and exports.

    Example: `cardhour serve --no-worker` on one machine, `cardhour worker` on another with the same DATABASE_URL.
    """
    work(_settings(), follow_parent=follow_parent)


@app.command()
def migrate() -> None:
    """Bring the database to the newest migration and add the shipped chips and voucher programmes.

    Over DATABASE_URL its user must be allowed to create roles. Example: `cardhour migrate`
    """
    with _quiet_runtime() as runtime:
        revision = asyncio.run(local.migrate(runtime))
    typer.echo(f"The database is at migration {revision}.")


@app.command()
def verify(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check everything that must always be true, straight on the database, and say what was checked.

    Exits 0 if all of it holds, else 1. Example: `cardhour verify`
    """
    table = Table("", "what must be true", "rows read", "violations", box=None)

    def show(finding: Finding) -> None:
        mark = "[green]✓[/]" if finding.holds else "[bold red]✗[/]"
        table.add_row(mark, finding.promise, f"{finding.counted:,}", f"{finding.violations:,}")

    async def check(runtime: Runtime) -> list[Finding]:
        database = runtime.database(AUDITOR_ROLE, pool_size=1)
        try:
            return await run_checks(database, on_finding=show)
        finally:
            await database.dispose()

    with _quiet_runtime() as runtime:
        findings = asyncio.run(check(runtime))
    broken = [finding for finding in findings if not finding.holds]
    if as_json:
        typer.echo(json.dumps({"holds": not broken, "findings": [asdict(f) for f in findings]}, ensure_ascii=False))
    else:
        _out.print(table)
        for finding in broken:
            for line in finding.told:
                _out.print(f"[red]{finding.name}[/]: {line}", highlight=False)
        _out.print("[bold red]Something is broken.[/]" if broken else "[bold green]Everything holds.[/]")
    if broken:
        raise typer.Exit(EXIT_REFUSED)


keys = typer.Typer(help="API keys.", no_args_is_help=True)
app.add_typer(keys, name="keys")
app.add_typer(programmes, name="programmes")


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Option(help="The organisation's name; it is added if there is none.")],
    role: Annotated[list[Role], typer.Option(help="What the key may act as; repeatable.")],
    label: Annotated[str, typer.Option(help="To recognise the key by.")] = "command line",
    local_: Annotated[bool, typer.Option("--local", help="Straight on the database, without a key.")] = False,
    expires_at: Annotated[datetime | None, typer.Option(help="When it ends by itself (UTC).")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the key alone.")] = False,
) -> None:
    """Make an API key and show it, this once.

    Example: `cardhour keys create --local --role desk --name "Matchmaking desk"`
    """
    if not local_:
        raise _fail("without --local, make a key through the API: cardhour keys new")
    expires = None if expires_at is None else expires_at.replace(tzinfo=UTC)
    with _quiet_runtime() as runtime:
        text = asyncio.run(local.create_local_key(runtime, name=name, roles=role, label=label, expires_at=expires))
    if quiet:
        typer.echo(text)
        return
    typer.echo(f"export CARDHOUR_API_KEY={text}")
    _err.print(f"A key of {name} as {', '.join(role)}. It is shown this once; the line above sets it.")


def main() -> None:
    """Run the command."""
    app()


if __name__ == "__main__":
    main()
