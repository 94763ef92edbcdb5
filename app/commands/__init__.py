"""The commands of `cardhour` that are made of the client."""

import typer

from app.commands.booking import add_booking_commands
from app.commands.bulk import add_bulk_commands
from app.commands.claims import claims
from app.commands.clearings import clearings
from app.commands.contracts import applications, contracts, vouchers
from app.commands.keys import add_key_commands
from app.commands.ledger import ledger
from app.commands.offers import offers
from app.commands.organisations import organisations
from app.commands.programmes import programmes
from app.commands.reports import reports
from app.commands.requests import requests
from app.commands.reservations import reservations
from app.commands.settlements import settlements


def add_commands(app: typer.Typer, keys: typer.Typer) -> None:
    """Add every command that goes through the API.

    Args:
        app: the command line.
        keys: its `keys` group, which has commands of its own.
    """
    app.add_typer(offers, name="offers")
    app.add_typer(requests, name="requests")
    add_booking_commands(app)
    app.add_typer(reservations, name="reservations")
    app.add_typer(settlements, name="settlements")
    app.add_typer(claims, name="claims")
    app.add_typer(clearings, name="clearings")
    app.add_typer(organisations, name="organisations")
    app.add_typer(programmes, name="programmes")
    app.add_typer(ledger, name="ledger")
    app.add_typer(contracts, name="contracts")
    app.add_typer(applications, name="applications")
    app.add_typer(vouchers, name="vouchers")
    app.add_typer(reports, name="reports")
    add_key_commands(keys)
    add_bulk_commands(app)
