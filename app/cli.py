"""The `cardhour` command. What touches the database itself is in `operating`; the rest goes through the client.

`operating` is imported inside the commands that need it: the others start in a third of the time without it.
"""
# ruff: noqa: PLC0415

import sys
from datetime import datetime
from typing import Annotated

import typer

from app import __version__
from app.commands import add_commands
from app.commands.console import EXIT_REFUSED, AnyRole, AsJson

app = typer.Typer(
    name="cardhour",
    help="A matching marketplace for AI compute: card-hours listed, matched, reserved, never oversold.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
)
keys = typer.Typer(help="API keys: make one on the database itself, or list, make and revoke.", no_args_is_help=True)
app.add_typer(keys, name="keys")


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
    from app import operating

    operating.serve(host=host, port=port, with_worker=worker)


@app.command()
def worker(
    follow_parent: Annotated[
        bool, typer.Option("--follow-parent", help="Stop when standard input closes.", hidden=True)
    ] = False,
) -> None:
    """Run a worker alone: the expiry sweep, imports and exports.

    Example: `cardhour serve --no-worker` on one machine, `cardhour worker` on another with the same DATABASE_URL.
    """
    from app import operating

    operating.work(follow_parent=follow_parent)


@app.command()
def migrate() -> None:
    """Bring the database to the newest migration and add the shipped chip catalogue.

    Over DATABASE_URL its user must be allowed to create roles. Example: `cardhour migrate`
    """
    from app import operating

    operating.migrate()


@app.command()
def verify(as_json: AsJson = False) -> None:
    """Check everything that must always be true, straight on the database, and say what was checked.

    Exits 0 if all of it holds, else 1. Example: `cardhour verify`
    """
    from app import operating

    operating.verify(as_json=as_json)


@app.command()
def demo() -> None:
    """Import the made-up sample market, let its buyers book, and report; on the embedded PostgreSQL.

    Example: `CARDHOUR_DATA_DIR=.demo cardhour demo`
    """
    from app import operating

    operating.demo()


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Option(help="The organisation's name; it is added if there is none.")],
    role: Annotated[list[AnyRole], typer.Option(help="What the key may act as; repeatable.")],
    label: Annotated[str, typer.Option(help="To recognise the key by.")] = "command line",
    local: Annotated[bool, typer.Option("--local", help="Straight on the database, without a key.")] = False,
    expires_at: Annotated[datetime | None, typer.Option(help="When it ends by itself (UTC).")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the key alone.")] = False,
) -> None:
    """Make a key on the database itself, where there is none to sign in with, and show it, this once.

    Example: `cardhour keys create --local --role desk --name "Matchmaking desk"`
    """
    if not local:
        typer.echo("Error: without --local, make a key through the API: cardhour keys new", err=True)
        raise typer.Exit(EXIT_REFUSED)
    from app import operating

    operating.create_key(name=name, roles=role, label=label, expires_at=expires_at, quiet=quiet)


add_commands(app, keys)


def main() -> None:
    """Run the command. Those that clear markets bring solver and compiler along, so they load only when named."""
    if not sys.argv[1:] or sys.argv[1] in ("clear", "verify-clearing", "checker", "plot", "prices", "--help"):
        from app.commands.clearing import clearing
        from app.commands.plotting import plotting
        from app.commands.pricing import pricing

        app.add_typer(clearing)
        app.add_typer(plotting)
        app.add_typer(pricing)
    app()


if __name__ == "__main__":
    main()
