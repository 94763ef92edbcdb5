"""What the command line does on the database and as a server; imported only by the commands that need it."""

import asyncio
import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import DBAPIError

from app import local, schema
from app.accounts.models import Role
from app.demo.run import run_demo
from app.kit.db import AUDITOR_ROLE
from app.kit.logging import configure_logging
from app.kit.problems import is_unavailable
from app.runtime import Runtime
from app.serving import serve as run_service
from app.settings import Settings
from app.verification.service import Finding
from app.verification.service import verify as run_checks
from app.worker import work as run_worker

_out = Console()
_err = Console(stderr=True)


def fail(message: str) -> typer.Exit:
    """Tell on standard error what is wrong; return what to raise to end with exit code 1."""
    _err.print(f"[bold red]Error:[/] {message}", highlight=False, soft_wrap=True)
    return typer.Exit(1)


def serve(*, host: str | None, port: int | None, with_worker: bool) -> None:
    """Serve until told to stop, on a database that is migrated (the embedded one) or must be (any other)."""
    settings = _settings()
    host, port = host or settings.host, port or settings.port
    configure_logging(level=settings.log_level, as_json=settings.log_json)
    with _runtime(settings) as runtime:
        _prepare(runtime)
        url = f"http://{host}:{port}"
        _err.print(
            f"Cardhour serves at [bold]{url}[/] (API documentation at {url}/docs); Ctrl-C stops it.", soft_wrap=True
        )
        run_service(runtime, host=host, port=port, with_worker=with_worker)


def work(*, follow_parent: bool) -> None:
    """Run a worker until told to stop."""
    run_worker(_settings(), follow_parent=follow_parent)


def migrate() -> None:
    """Migrate the database and say where it is."""
    with _quiet_runtime() as runtime:
        revision = asyncio.run(local.migrate(runtime))
    typer.echo(f"The database is at migration {revision}.")


def verify(*, as_json: bool) -> None:
    """Check every invariant and print what was found; exit code 1 if any is broken."""
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
        raise typer.Exit(1)


def create_key(*, name: str, roles: Sequence[str], label: str, expires_at: datetime | None, quiet: bool) -> None:
    """Make a key straight on the database and print it."""
    expires = None if expires_at is None else expires_at.replace(tzinfo=UTC)
    wanted = [Role(role) for role in roles]
    with _quiet_runtime() as runtime:
        text = asyncio.run(local.create_local_key(runtime, name=name, roles=wanted, label=label, expires_at=expires))
    if quiet:
        typer.echo(text)
        return
    typer.echo(f"export CARDHOUR_API_KEY={text}")
    _err.print(f"A key of {name} as {', '.join(roles)}. It is shown this once; the line above sets it.")


def demo() -> None:
    """Play the demo on the embedded PostgreSQL and print its report."""
    settings = _settings()
    configure_logging(level="WARNING", as_json=settings.log_json)
    try:
        run_demo(settings, _out)
    except RuntimeError as error:
        raise fail(str(error)) from None


def _settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        raise fail(f"the settings are not valid: {told}") from None


@contextmanager
def _runtime(settings: Settings) -> Generator[Runtime]:
    """A started runtime, closed at the end."""
    runtime = Runtime(settings)
    try:
        runtime.start()
    except RuntimeError as error:
        raise fail(str(error)) from None
    try:
        yield runtime
    except (DBAPIError, OSError) as error:
        if not is_unavailable(error):
            raise
        raise fail(f"the database can't be reached; see DATABASE_URL: {error.args[0]}") from None
    finally:
        runtime.close()


@contextmanager
def _quiet_runtime() -> Generator[Runtime]:
    """A started runtime for a short command: only warnings and worse are logged."""
    settings = _settings()
    configure_logging(level="WARNING", as_json=settings.log_json)
    with _runtime(settings) as runtime:
        yield runtime


def _prepare(runtime: Runtime) -> None:
    """Migrate the embedded database; of any other only check that it has been."""
    if runtime.embedded is not None:
        asyncio.run(local.migrate(runtime))
        return

    if not asyncio.run(schema.is_migrated(runtime.admin_url)):
        raise fail("the database is not at this release's newest migration; run: cardhour migrate")
