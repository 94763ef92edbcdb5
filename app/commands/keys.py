"""`cardhour keys list|new|revoke`: API keys, through the API. `keys create --local` is the command line's own."""

from typing import Annotated

import typer

from app.client.types import KeyIn
from app.commands.console import AnyRole, AsJson, api, local_time, moment, print_json, print_table


def add_key_commands(keys: typer.Typer) -> None:
    """Add the commands that go through the API to the `keys` group."""
    keys.command("list")(list_keys)
    keys.command("new")(new_key)
    keys.command("revoke")(revoke_key)


def list_keys(as_json: AsJson = False) -> None:
    """List the keys of one's organisation, without their secrets.

    Example: `cardhour keys list`
    """
    with api() as client:
        found = client.keys.list()["data"]
    if as_json:
        print_json(found)
        return
    print_table(
        ("id", "label", "begins with", "acts as", "made", "ends", "revoked"),
        (
            (
                key["id"],
                key["label"],
                key["prefix"],
                key["roles"],
                local_time(key["created_at"]),
                local_time(key["expires_at"]) or "never",
                local_time(key["revoked_at"]),
            )
            for key in found
        ),
        empty="There are no keys.",
    )


def new_key(
    label: Annotated[str, typer.Option(help="To recognise the key by.")],
    role: Annotated[list[AnyRole], typer.Option(help="What the key may act as; repeatable.")],
    expires_at: Annotated[str | None, typer.Option(help="When it ends by itself, RFC 3339.", parser=moment)] = None,
    organisation: Annotated[str | None, typer.Option(help="Another organisation's (org_…), by the desk.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the key alone.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a key through the API and show it, this once.

    Example: `cardhour keys new --label ci --role buyer --expires-at 2027-01-01T00:00:00+08:00`
    """
    body: KeyIn = {
        "label": label,
        "roles": [each.value for each in role],
        "expires_at": expires_at,
        "org_id": organisation,
    }
    with api() as client:
        made = client.keys.create(body)
    if as_json:
        print_json(made)
    elif quiet:
        typer.echo(made["secret"])
    else:
        typer.echo(f"export CARDHOUR_API_KEY={made['secret']}")
        typer.echo("It is shown this once; the line above sets it.")


def revoke_key(
    key_id: Annotated[str, typer.Argument(help="The key's id (key_…).")],
    as_json: AsJson = False,
) -> None:
    """End a key at once.

    Example: `cardhour keys revoke key_…`
    """
    with api() as client:
        key = client.keys.revoke(key_id)
    print_json(key) if as_json else typer.echo(f"{key['prefix']}… was revoked at {local_time(key['revoked_at'])}.")
