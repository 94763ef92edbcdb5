"""`cardhour settlements`: what was delivered, what is billed for it, payments and invoices."""

import csv
from itertools import islice
from pathlib import Path
from typing import Annotated, Final

import typer

from app.client.types import DeliveryIn, DeliveryOut, InvoiceFormat, PaymentState, SettlementKind, SettlementOut
from app.commands.console import (
    AsJson,
    Quiet,
    api,
    cny,
    fen,
    local_time,
    moment,
    out,
    print_fields,
    print_ids,
    print_json,
    print_table,
)

settlements = typer.Typer(help="Deliveries and settlements: report, dispute, list, pay, invoice.", no_args_is_help=True)

COLUMNS: Final = ("period_start", "period_end", "card_seconds", "corrects_id")
ReservationId = Annotated[str, typer.Argument(help="The reservation's id (rsv_…).")]
SettlementId = Annotated[str, typer.Argument(help="The settlement's id (stl_…).")]
DeliveryId = Annotated[str, typer.Argument(help="The report's id (dlv_…).")]


def read_reports(path: Path) -> list[DeliveryIn]:
    """Return the reports of a CSV file with the columns `period_start,period_end,card_seconds[,corrects_id]`.

    Raises:
        typer.BadParameter: naming the line and column that is wrong.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file, strict=True)
        names = tuple(rows.fieldnames or ())
        if not {*COLUMNS[:3]} <= {*names} <= {*COLUMNS}:
            raise typer.BadParameter(f"{path}: its first line must name the columns {','.join(COLUMNS)}")
        found: list[DeliveryIn] = []
        for row in rows:
            seconds = (row["card_seconds"] or "").strip()
            if not (seconds.isascii() and seconds.isdigit()):
                raise typer.BadParameter(f"{path} line {rows.line_num}: card_seconds {seconds!r} is not a whole number")
            report: DeliveryIn = {
                "period_start": moment(row["period_start"] or ""),
                "period_end": moment(row["period_end"] or ""),
                "card_seconds": int(seconds),
                "corrects_id": row.get("corrects_id") or None,
            }
            found.append(report)
    return found


def _print_deliveries(found: list[DeliveryOut]) -> None:
    print_table(
        ("id", "from", "to", ">card-seconds", "corrects", "corrected by", "disputed"),
        (
            (
                row["id"],
                local_time(row["period_start"]),
                local_time(row["period_end"]),
                row["card_seconds"],
                row["corrects_id"],
                row["corrected_by"],
                row["dispute_reason"],
            )
            for row in found
        ),
        empty="Nothing is reported yet.",
    )


def _print_settlements(found: list[SettlementOut]) -> None:
    print_table(
        ("id", ">number", "kind", "from", "to", ">CNY", ">vouchers CNY", ">to pay CNY", "payment"),
        (
            (
                row["id"],
                row["number"],
                row["kind"],
                local_time(row["period_start"]),
                local_time(row["period_end"]),
                cny(row["amount_fen"]),
                cny(row["redeemed_fen"]),
                cny(row["payable_fen"]),
                row["payment_state"],
            )
            for row in found
        ),
        empty="No settlement matches.",
    )


@settlements.command("report")
def report(
    reservation_id: ReservationId,
    start: Annotated[str | None, typer.Option("--from", help="Of one period: its start (RFC 3339).")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Of one period: its end (RFC 3339).")] = None,
    card_seconds: Annotated[int | None, typer.Option(min=0, help="Of one period: what was delivered.")] = None,
    corrects: Annotated[str | None, typer.Option(help="The report that it takes the place of (dlv_…).")] = None,
    file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Many: a CSV file with these columns.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Report metered card-seconds of one period, or of many from a CSV file (the supplier); they are settled at once.

    Example: `cardhour settlements report rsv_… --file march.csv`
    """
    if file is not None:
        if (start, end, card_seconds, corrects) != (None, None, None, None):
            raise typer.BadParameter("give --file, or --from, --to and --card-seconds")
        reports = read_reports(file)
    elif start is None or end is None or card_seconds is None:
        raise typer.BadParameter("give --from, --to and --card-seconds, or --file")
    else:
        one: DeliveryIn = {
            "period_start": moment(start),
            "period_end": moment(end),
            "card_seconds": card_seconds,
            "corrects_id": corrects,
        }
        reports = [one]
    with api() as client:
        taken = client.deliveries.report(reservation_id, reports)
    if as_json:
        print_json(taken)
        return
    _print_deliveries(taken["reports"])
    _print_settlements(taken["settlements"])


@settlements.command("deliveries")
def deliveries(
    reservation_id: ReservationId,
    everything: Annotated[bool, typer.Option("--all", help="Corrected reports too.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List what was reported of a reservation and not corrected since.

    Example: `cardhour settlements deliveries rsv_…`
    """
    with api() as client:
        found = list(islice(client.deliveries.each(reservation_id, in_force=None if everything else True), limit))
    if as_json:
        print_json(found)
    else:
        _print_deliveries(found)


@settlements.command("dispute")
def dispute(
    delivery_id: DeliveryId,
    reason: Annotated[str, typer.Option(help="Why it is not what was delivered; both sides see it.")],
    as_json: AsJson = False,
) -> None:
    """Dispute a report (the buyer); the supplier corrects it, or you withdraw.

    Example: `cardhour settlements dispute dlv_… --reason "Two cards were down all day."`
    """
    with api() as client:
        told = client.deliveries.dispute(delivery_id, reason)
    print_json(told) if as_json else _print_deliveries([told])


@settlements.command("withdraw-dispute")
def withdraw_dispute(delivery_id: DeliveryId, as_json: AsJson = False) -> None:
    """Take a dispute back (the buyer).

    Example: `cardhour settlements withdraw-dispute dlv_…`
    """
    with api() as client:
        told = client.deliveries.withdraw_dispute(delivery_id)
    print_json(told) if as_json else _print_deliveries([told])


@settlements.command("list")
def list_settlements(
    kind: Annotated[SettlementKind | None, typer.Option(help="Only of this kind.")] = None,
    payment: Annotated[PaymentState | None, typer.Option(help="Only in this state of payment.")] = None,
    contract: Annotated[str | None, typer.Option(help="Only of this contract (ctr_…).")] = None,
    reservation: Annotated[str | None, typer.Option(help="Only of this reservation (rsv_…).")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """List one's settlements, as buyer or supplier, in the order they were made; all for the desk.

    Example: `cardhour settlements list --payment open`
    """
    with api() as client:
        wanted = client.settlements.each(
            kind=kind, payment_state=payment, contract_id=contract, reservation_id=reservation
        )
        found = list(islice(wanted, limit))
    if as_json or quiet:
        print_json(found) if as_json else print_ids(found)
    else:
        _print_settlements(found)


@settlements.command("show")
def show(settlement_id: SettlementId, as_json: AsJson = False) -> None:
    """Show one settlement with its redemptions.

    Example: `cardhour settlements show stl_…`
    """
    with api() as client:
        _print(client.settlements.read(settlement_id), as_json)


def _print(row: SettlementOut, as_json: bool) -> None:
    if as_json:
        print_json(row)
        return
    print_fields(
        (
            ("id", row["id"]),
            ("number", row["number"]),
            ("kind", row["kind"]),
            ("contract", row["contract_id"]),
            ("reservation", row["reservation_id"]),
            ("from", local_time(row["period_start"])),
            ("to", local_time(row["period_end"])),
            ("price", f"{cny(row['price_fen'])} CNY per card-hour"),
            ("card-seconds so far", row["card_seconds_total"]),
            ("amount", f"{cny(row['amount_fen'])} CNY"),
            *(
                (f"{each['kind']} {each['programme']}", f"{cny(each['amount_fen'])} CNY: {each['voucher_id']}")
                for each in row["redemptions"]
            ),
            ("to pay", f"{cny(row['payable_fen'])} CNY"),
            ("payment", row["payment_state"]),
            ("paid", local_time(row["paid_at"])),
            ("reference", row["payment_reference"]),
        )
    )


@settlements.command("pay")
def pay(
    settlement_id: SettlementId,
    amount: Annotated[str, typer.Option(help="What was paid, in CNY: exactly what was to be paid.")],
    paid_at: Annotated[str | None, typer.Option(help="When (RFC 3339); by default now.")] = None,
    reference: Annotated[str | None, typer.Option(help="Of the transfer.")] = None,
    as_json: AsJson = False,
) -> None:
    """Record that a settlement was paid (the supplier; for a refund the buyer).

    Example: `cardhour settlements pay stl_… --amount 375000`
    """
    amount_fen = fen(amount)
    at = None if paid_at is None else moment(paid_at)
    with api() as client:
        read = client.settlements.read(settlement_id)
        _print(client.settlements.pay(read, amount_fen, paid_at=at, reference=reference), as_json)


@settlements.command("invoice")
def invoice(
    settlement_id: SettlementId,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write it there, as .html, .pdf or .json; else print JSON.")
    ] = None,
) -> None:
    """Get a settlement's invoice in Chinese and English.

    Example: `cardhour settlements invoice stl_… -o invoice.pdf`
    """
    with api() as client:
        if output is None:
            print_json(client.settlements.invoice(settlement_id))
            return
        kinds: dict[str, InvoiceFormat] = {".html": "html", ".pdf": "pdf", ".json": "json"}
        kind = kinds.get(output.suffix.lower())
        if kind is None:
            raise typer.BadParameter(f"{output}: an invoice is .html, .pdf or .json")
        content = client.settlements.invoice_document(settlement_id, format=kind)
    output.write_bytes(content)
    out.print(f"Written to {output}.", soft_wrap=True)
