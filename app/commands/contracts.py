"""`cardhour contracts`, `applications` and `vouchers`: what is under a confirmed reservation, and who pays for it."""

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from app.client.types import (
    ApplicationOut,
    ApplicationState,
    ContractDetail,
    DocumentKind,
    Payment,
    RejectReason,
    RevokeReason,
    VoucherDetail,
    VoucherState,
)
from app.commands.console import (
    AsJson,
    Quiet,
    api,
    cny,
    fen,
    local_time,
    print_fields,
    print_ids,
    print_json,
    print_signals,
    print_table,
)

contracts = typer.Typer(help="Contracts: list, show, documents, evaluation.", no_args_is_help=True)
applications = typer.Typer(
    help="Applications for vouchers: the queue, approve, reject, and the buyer's choice.", no_args_is_help=True
)
vouchers = typer.Typer(help="Vouchers: list, show, revoke, use a bonus.", no_args_is_help=True)

ContractId = Annotated[str, typer.Argument(help="The contract's id (ctr_…).")]
ApplicationId = Annotated[str, typer.Argument(help="The application's id (vap_…).")]
VoucherId = Annotated[str, typer.Argument(help="The voucher's id (vch_…).")]
Limit = Annotated[int, typer.Option(min=1, help="At most so many.")]


@contracts.command("list")
def list_contracts(
    reservation: Annotated[str | None, typer.Option(help="Only of this reservation (rsv_…).")] = None,
    limit: Limit = 100,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """List one's contracts, as buyer or supplier; all for the desk.

    Example: `cardhour contracts list`
    """
    with api() as client:
        found = list(islice(client.contracts.each(reservation_id=reservation), limit))
    if as_json or quiet:
        print_json(found) if as_json else print_ids(found)
        return
    print_table(
        ("id", "reservation", "chip", ">cards", "from", "to", ">CNY", "payment", "signed"),
        (
            (
                row["id"],
                row["reservation_id"],
                row["chip_model"],
                row["cards"],
                local_time(row["starts_at"]),
                local_time(row["ends_at"]),
                cny(row["amount_fen"]),
                row["payment"],
                local_time(row["signed_at"]),
            )
            for row in found
        ),
        empty="No contract matches; a reservation has one once both sides have accepted.",
    )


@contracts.command("show")
def show_contract(contract_id: ContractId, as_json: AsJson = False) -> None:
    """Show a contract with its applications and documents.

    Example: `cardhour contracts show ctr_…`
    """
    with api() as client:
        found = client.contracts.read(contract_id)
    if as_json:
        print_json(found)
    else:
        _print_contract(found)


def _print_contract(found: ContractDetail) -> None:
    evaluation = found["evaluation"]
    print_fields(
        (
            ("id", found["id"]),
            ("reservation", found["reservation_id"]),
            ("chip", f"{found['cards']} × {found['chip_model']}, {found['region']}"),
            ("from", local_time(found["starts_at"])),
            ("to", local_time(found["ends_at"])),
            *((item["kind"], f"{cny(item['amount_fen'])} CNY") for item in found["items"]),
            ("amount", f"{cny(found['amount_fen'])} CNY, {found['payment']}"),
            ("signed", local_time(found["signed_at"])),
            *((f"application {each['programme']}", _in_short(each)) for each in found["applications"]),
            *((f"document {each['id']}", f"{each['kind']}: {each['name']}") for each in found["documents"]),
            ("evaluation", None if evaluation is None else f"{evaluation['score']}: {evaluation['remarks']}"),
        )
    )


def _in_short(application: ApplicationOut) -> str:
    return f"{application['state']}, {cny(application['amount_fen'])} CNY: {application['id']}"


@contracts.command("payment")
def set_payment(
    contract_id: ContractId,
    payment: Annotated[Payment, typer.Argument(help="Before each period, or after it.")],
    as_json: AsJson = False,
) -> None:
    """Say when a contract is paid for, before it begins (the supplier).

    Example: `cardhour contracts payment ctr_… prepaid`
    """
    with api() as client:
        found = client.contracts.set_payment(client.contracts.read(contract_id), payment)
    print_json(found) if as_json else print_fields((("id", found["id"]), ("payment", found["payment"])))


@contracts.command("document")
def document(
    contract_id: ContractId,
    to: Annotated[Path, typer.Option("--to", help="The HTML file to write.")],
) -> None:
    """Write a contract as a document in Chinese and English.

    Example: `cardhour contracts document ctr_… --to contract.html`
    """
    with api() as client:
        to.write_bytes(client.contracts.document(contract_id))
    typer.echo(to)


@contracts.command("upload")
def upload(
    contract_id: ContractId,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A PDF, PNG or JPEG of at most 10 MiB.")],
    kind: Annotated[DocumentKind, typer.Option(help="What it is.")] = "contract",
    as_json: AsJson = False,
) -> None:
    """Upload a document of a contract, as its signed copy.

    Example: `cardhour contracts upload ctr_… signed.pdf`
    """
    with api() as client:
        made = client.contracts.upload(contract_id, file.name, file.read_bytes(), kind=kind)
    print_json(made) if as_json else print_fields(
        (("id", made["id"]), ("name", made["name"]), ("sha256", made["sha256"]))
    )


@contracts.command("download")
def download(
    contract_id: ContractId,
    document_id: Annotated[str, typer.Argument(help="The document's id (doc_…).")],
    to: Annotated[Path, typer.Option("--to", help="The file to write.")],
) -> None:
    """Write an uploaded document as it came.

    Example: `cardhour contracts download ctr_… doc_… --to signed.pdf`
    """
    with api() as client:
        to.write_bytes(client.contracts.download(contract_id, document_id))
    typer.echo(to)


@contracts.command("evaluate")
def evaluate(
    contract_id: ContractId,
    score: Annotated[int, typer.Option(min=0, max=100, help="What it achieved.")],
    remarks: Annotated[str, typer.Option(help="In words.")],
    as_json: AsJson = False,
) -> None:
    """Evaluate a completed contract (the desk); a good score earns the bonus vouchers of programmes that give any.

    Example: `cardhour contracts evaluate ctr_… --score 85 --remarks "The model was published."`
    """
    with api() as client:
        made = client.contracts.evaluate(contract_id, score, remarks)
    if as_json:
        print_json(made)
        return
    bonuses = (
        (f"bonus {each['programme']}", f"{cny(each['issued_fen'])} CNY: {each['id']}") for each in made["bonuses"]
    )
    print_fields((("score", made["score"]), *bonuses))


@applications.command("list")
def list_applications(
    state: Annotated[ApplicationState | None, typer.Option(help="Only in this state; submitted is the queue.")] = None,
    programme: Annotated[str | None, typer.Option(help="Only under this programme.")] = None,
    limit: Limit = 100,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """List applications: one's own; all for the desk.

    Example: `cardhour applications list --state submitted`
    """
    with api() as client:
        found = list(islice(client.applications.each(state=state, programme=programme), limit))
    if as_json or quiet:
        print_json(found) if as_json else print_ids(found)
        return
    print_table(
        ("id", "state", "programme", "contract", ">CNY", "decided by", "reason", "choice until"),
        (
            (
                row["id"],
                row["state"],
                row["programme"],
                row["contract_id"],
                cny(row["amount_fen"]),
                row["decided_by"],
                row["reason"] and row["reason"]["code"],
                None if row["choice"] else local_time(row["choice_ends_at"]),
            )
            for row in found
        ),
        empty="No application matches.",
    )


@applications.command("show")
def show_application(application_id: ApplicationId, as_json: AsJson = False) -> None:
    """Show an application with each clause, the arithmetic of its amount and, to the desk, signs of abuse.

    Example: `cardhour applications show vap_…`
    """
    with api() as client:
        _print_application(client.applications.read(application_id), as_json)


def _print_application(found: ApplicationOut, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    reason = found["reason"]
    print_fields(
        (
            ("id", found["id"]),
            ("state", found["state"]),
            ("programme", found["programme"]),
            ("contract", found["contract_id"]),
            ("voucher", found["voucher_id"]),
            *(("met" if each["met"] else "not met", each["told"]) for each in found["clauses"]),
            *(("arithmetic", each["told"]) for each in found["arithmetic"]),
            *(("the desk checks", each) for each in found["desk_checks"]),
            ("amount", f"{cny(found['amount_fen'])} CNY"),
            ("decided by", found["decided_by"]),
            ("reason", reason and reason["told"]),
            ("in words", reason and reason["detail"]),
            ("choice", found["choice"] or (found["choice_ends_at"] and f"until {local_time(found['choice_ends_at'])}")),
        )
    )
    if found["signals"] is not None:
        print_signals(found["signals"])


@applications.command("apply")
def apply(contract_id: ContractId, as_json: AsJson = False) -> None:
    """Apply for all that is set aside for a contract, where its confirmation did not.

    Example: `cardhour applications apply ctr_…`
    """
    with api() as client:
        made = client.applications.apply(contract_id)["data"]
    if as_json:
        print_json(made)
        return
    for each in made:
        _print_application(each, as_json=False)


@applications.command("approve")
def approve(
    application_id: ApplicationId,
    amount: Annotated[str | None, typer.Option(help="Less than the rules give, in CNY.")] = None,
    as_json: AsJson = False,
) -> None:
    """Approve an application and issue its voucher (the desk).

    Example: `cardhour applications approve vap_…`
    """
    amount_fen = None if amount is None else fen(amount)
    with api() as client:
        read = client.applications.read(application_id)
        _print_application(client.applications.approve(read, amount_fen=amount_fen), as_json)


@applications.command("reject")
def reject(
    application_id: ApplicationId,
    reason: Annotated[RejectReason, typer.Option(help="Why.")],
    detail: Annotated[str, typer.Option(help="In words; both sides see it.")],
    as_json: AsJson = False,
) -> None:
    """Reject an application (the desk); its buyer has 48 hours to accept the full price.

    Example: `cardhour applications reject vap_… --reason desk_check_failed --detail "Not won together."`
    """
    with api() as client:
        read = client.applications.read(application_id)
        _print_application(client.applications.reject(read, reason, detail), as_json)


@applications.command("withdraw")
def withdraw(application_id: ApplicationId, as_json: AsJson = False) -> None:
    """Withdraw an application that is not decided, and pay the full price (its buyer).

    Example: `cardhour applications withdraw vap_…`
    """
    with api() as client:
        _print_application(client.applications.withdraw(client.applications.read(application_id)), as_json)


@applications.command("accept-full-price")
def accept_full_price(application_id: ApplicationId, as_json: AsJson = False) -> None:
    """Keep the reservation at its full price after a rejection (its buyer).

    Example: `cardhour applications accept-full-price vap_…`
    """
    with api() as client:
        _print_application(client.applications.accept_full_price(client.applications.read(application_id)), as_json)


@vouchers.command("list")
def list_vouchers(
    state: Annotated[VoucherState | None, typer.Option(help="Only in this state.")] = None,
    programme: Annotated[str | None, typer.Option(help="Only of this programme.")] = None,
    limit: Limit = 100,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """List one's vouchers; all for the desk.

    Example: `cardhour vouchers list --state issued`
    """
    with api() as client:
        found = list(islice(client.vouchers.each(state=state, programme=programme), limit))
    if as_json or quiet:
        print_json(found) if as_json else print_ids(found)
        return
    print_table(
        ("id", "kind", "state", "programme", "tier", "year", ">earmarked CNY", ">issued CNY", "reservation", "expires"),
        (
            (
                row["id"],
                row["kind"],
                row["state"],
                row["programme"],
                row["tier"],
                row["year"],
                cny(row["amount_fen"]),
                cny(row["issued_fen"]),
                row["reservation_id"],
                local_time(row["expires_at"]),
            )
            for row in found
        ),
        empty="No voucher matches.",
    )


@vouchers.command("show")
def show_voucher(voucher_id: VoucherId, as_json: AsJson = False) -> None:
    """Show a voucher with what is left of it and its life so far.

    Example: `cardhour vouchers show vch_…`
    """
    with api() as client:
        _print_voucher(client.vouchers.read(voucher_id), as_json)


def _print_voucher(found: VoucherDetail, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    print_fields(
        (
            ("id", found["id"]),
            ("state", found["state"]),
            ("programme", f"{found['programme']} ({found['tier']}), {found['year']}"),
            ("reservation", found["reservation_id"]),
            ("earmarked", f"{cny(found['amount_fen'])} CNY"),
            ("issued", cny(found["issued_fen"])),
            ("redeemed", cny(found["redeemed_fen"])),
            ("left", cny(found["left_fen"])),
            ("expires", local_time(found["expires_at"])),
            ("reason", found["reason_code"]),
            ("in words", found["reason_detail"]),
            *((each["state"], local_time(each["at"])) for each in found["history"]),
        )
    )


@vouchers.command("revoke")
def revoke(
    voucher_id: VoucherId,
    reason: Annotated[RevokeReason, typer.Option(help="Why.")],
    detail: Annotated[str, typer.Option(help="In words; both sides see it.")],
    as_json: AsJson = False,
) -> None:
    """Revoke an issued voucher (the desk): what is left goes back, what was redeemed and paid is claimed back.

    Example: `cardhour vouchers revoke vch_… --reason false_statement --detail "Revenue was misstated."`
    """
    with api() as client:
        _print_voucher(client.vouchers.revoke(client.vouchers.read(voucher_id), reason, detail), as_json)


@vouchers.command("use")
def use(
    voucher_id: VoucherId,
    contract: Annotated[str, typer.Option(help="The contract to put it on (ctr_…).")],
    as_json: AsJson = False,
) -> None:
    """Put a bonus voucher on a contract (its buyer).

    Example: `cardhour vouchers use vch_… --contract ctr_…`
    """
    with api() as client:
        _print_voucher(client.vouchers.use(client.vouchers.read(voucher_id), contract), as_json)
