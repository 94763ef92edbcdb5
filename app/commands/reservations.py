"""`cardhour reservations`: what is held, confirmed and running."""

from itertools import islice
from typing import Annotated

import typer

from app.client.types import AccessOut, CancelReason, ReservationOut, ReservationState, ReservationSubsidyOut, Side
from app.commands.console import AsJson, Quiet, api, cny, local_time, print_fields, print_ids, print_json, print_table

reservations = typer.Typer(help="Reservations: list, accept, cancel, extend, end, access.", no_args_is_help=True)

ReservationId = Annotated[str, typer.Argument(help="The reservation's id (rsv_…).")]


def print_reservations(found: list[ReservationOut], *, empty: str) -> None:
    """Print reservations as a table."""
    print_table(
        ("id", "state", "offer", "chip", ">cards", "from", ">hours", ">CNY/card-hour", ">net CNY"),
        (
            (
                row["id"],
                row["state"],
                row["offer_ref"],
                row["chip_model"],
                row["cards"],
                local_time(row["starts_at"]),
                row["hours"],
                cny(row["price_fen"]),
                cny(row["net_fen"]),
            )
            for row in found
        ),
        empty=empty,
    )


def _print(reservation: ReservationOut, as_json: bool) -> None:
    if as_json:
        print_json(reservation)
        return
    print_fields(
        (
            ("id", reservation["id"]),
            ("state", reservation["state"]),
            ("offer", f"{reservation['offer_ref']} ({reservation['offer_id']})"),
            ("request", f"{reservation['request_id']}, block {reservation['block'] + 1}"),
            ("chip", f"{reservation['cards']} × {reservation['chip_model']}, {reservation['region']}"),
            ("from", local_time(reservation["starts_at"])),
            ("to", f"{local_time(reservation['ends_at'])} ({reservation['hours']} hours)"),
            ("price", f"{cny(reservation['price_fen'])} CNY per card-hour"),
            ("cost", f"{cny(reservation['cost_fen'])} CNY"),
            *((f"voucher {each['programme']}", _voucher(each)) for each in reservation["subsidies"]),
            ("net", f"{cny(reservation['net_fen'])} CNY"),
            ("hold ends", local_time(reservation["hold_ends_at"])),
            ("buyer accepted", local_time(reservation["buyer_accepted_at"])),
            ("supplier accepted", local_time(reservation["supplier_accepted_at"])),
            ("reason", reservation["reason_code"]),
            ("in words", reservation["reason_detail"]),
        )
    )


def _voucher(subsidy: ReservationSubsidyOut) -> str:
    return f"{cny(subsidy['amount_fen'])} CNY ({subsidy['tier']}), {subsidy['state']}: {subsidy['voucher_id']}"


@reservations.command("list")
def list_reservations(
    state: Annotated[ReservationState | None, typer.Option(help="Only in this state.")] = None,
    offer: Annotated[str | None, typer.Option(help="Only on this offer (offer_…).")] = None,
    request: Annotated[str | None, typer.Option(help="Only of this request (req_…).")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """List one's reservations, as buyer or supplier, in the order they were made; all for the desk.

    Example: `cardhour reservations list --state held`
    """
    with api() as client:
        found = list(islice(client.reservations.each(state=state, offer_id=offer, request_id=request), limit))
    if as_json or quiet:
        print_json(found) if as_json else print_ids(found)
    else:
        print_reservations(found, empty="No reservation matches.")


@reservations.command("show")
def show(reservation_id: ReservationId, as_json: AsJson = False) -> None:
    """Show one reservation.

    Example: `cardhour reservations show rsv_…`
    """
    with api() as client:
        _print(client.reservations.read(reservation_id), as_json)


@reservations.command("accept")
def accept(
    reservation_id: ReservationId,
    side: Annotated[Side | None, typer.Option(help="For whom; the desk must say it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Accept a hold; once both sides have, it is confirmed.

    Example: `cardhour reservations accept rsv_…`
    """
    with api() as client:
        read = client.reservations.read(reservation_id)
        _print(client.reservations.accept(read, side=side), as_json)


@reservations.command("cancel")
def cancel(
    reservation_id: ReservationId,
    reason: Annotated[CancelReason, typer.Option(help="Each side has reasons of its own.")],
    detail: Annotated[str | None, typer.Option(help="In one's own words; both sides see it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Give a reservation up before it runs; its request opens again.

    Example: `cardhour reservations cancel rsv_… --reason buyer_changed_plans`
    """
    with api() as client:
        read = client.reservations.read(reservation_id)
        _print(client.reservations.cancel(read, reason, detail=detail), as_json)


@reservations.command("extend")
def extend(
    reservation_id: ReservationId,
    hours: Annotated[int, typer.Option(min=1, help="Whole hours more.")],
    as_json: AsJson = False,
) -> None:
    """Keep the cards longer, at the same price, where they are free.

    Example: `cardhour reservations extend rsv_… --hours 24`
    """
    with api() as client:
        read = client.reservations.read(reservation_id)
        _print(client.reservations.extend(read, hours), as_json)


@reservations.command("end")
def end(reservation_id: ReservationId, as_json: AsJson = False) -> None:
    """End a running reservation at the next whole hour.

    Example: `cardhour reservations end rsv_…`
    """
    with api() as client:
        read = client.reservations.read(reservation_id)
        _print(client.reservations.end(read), as_json)


@reservations.command("access")
def access(
    reservation_id: ReservationId,
    contact: Annotated[str | None, typer.Option(help="Set whom the buyer reaches (the supplier).")] = None,
    instructions: Annotated[str | None, typer.Option(help="Set how to get to the cards (the supplier).")] = None,
    as_json: AsJson = False,
) -> None:
    """Show how to get to the cards, once both sides have accepted; a supplier sets it with the options.

    Example: `cardhour reservations access rsv_… --instructions "ssh user@gpu.example.test"`
    """
    with api() as client:
        if contact is None and instructions is None:
            told = client.reservations.access(reservation_id)
        else:
            read = client.reservations.read(reservation_id)
            told = client.reservations.set_access(read, contact=contact, instructions=instructions)
    _print_access(told, as_json)


def _print_access(told: AccessOut, as_json: bool) -> None:
    if as_json:
        print_json(told)
    else:
        print_fields((("contact", told["contact"]), ("instructions", told["instructions"])))
