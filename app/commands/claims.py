"""`cardhour claims`: what vouchers redeemed, claimed with proofs, decided and paid; advances of reserve funds."""

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from app.client.types import ClaimDetail, ClaimIn, ClaimReason, ClaimState, ProofIn, RejectedLineIn
from app.commands.console import (
    AsJson,
    Quiet,
    api,
    cny,
    fen,
    local_time,
    moment,
    print_fields,
    print_ids,
    print_json,
    print_one,
    print_signals,
    print_table,
)

claims = typer.Typer(
    help="Claims on programmes: submit with proofs, approve, reject, pay; advances.", no_args_is_help=True
)
ClaimId = Annotated[str, typer.Argument(help="The claim's id (clm_…).")]
Limit = Annotated[int, typer.Option(min=1, help="At most so many.")]


def read_proof(given: str) -> tuple[str, Path]:
    """Return the kind and the file of a proof given as `KIND=FILE`.

    Raises:
        typer.BadParameter: if it is not of that form, or there is no such file.
    """
    kind, equals, name = given.partition("=")
    path = Path(name)
    if not (kind and equals and name):
        raise typer.BadParameter(f'{given!r}: write --proof "delivery record=record.pdf"')
    if not path.is_file():
        raise typer.BadParameter(f"{name}: there is no such file")
    return kind, path


def _print(claim: ClaimDetail) -> None:
    print_fields(
        (
            ("id", claim["id"]),
            ("state", claim["state"]),
            ("programme", f"{claim['programme']} version {claim['programme_version']}"),
            ("claimant", claim["claimant_org_id"]),
            ("period", claim["period"]),
            ("claimed", f"{cny(claim['amount_fen'])} CNY"),
            ("approved", _amount(claim["approved_fen"])),
            ("less advances", _amount(claim["netted_fen"])),
            ("less revoked", _amount(claim["recovered_fen"])),
            ("cash", _amount(claim["cash_fen"])),
            ("paid", local_time(claim["paid_at"])),
            ("reference", claim["payment_reference"]),
        )
    )
    print_table(
        ("line", ">CNY", "voucher", "redemption", "state", "reason", "detail"),
        (
            (
                line["id"],
                cny(line["amount_fen"]),
                line["voucher_id"],
                line["redemption_id"],
                line["state"],
                line["reason"],
                line["detail"],
            )
            for line in claim["lines"]
        ),
        empty="No line.",
    )
    print_table(
        ("proof", "document", "name", ">bytes", "SHA-256"),
        (
            (proof["kind"], proof["document_id"], proof["name"], proof["size_bytes"], proof["sha256"])
            for proof in claim["proofs"]
        ),
        empty="The programme asks for no proof.",
    )
    if claim["signals"] is not None:
        print_signals(claim["signals"])


def _amount(amount_fen: int | None) -> str | None:
    return None if amount_fen is None else f"{cny(amount_fen)} CNY"


@claims.command("list")
def list_claims(
    state: Annotated[ClaimState | None, typer.Option(help="Only in this state; the desk's queue is submitted.")] = None,
    programme: Annotated[str | None, typer.Option(help="Only of this programme.")] = None,
    period: Annotated[str | None, typer.Option(help="Only of this period, such as 2026-Q4.")] = None,
    limit: Limit = 100,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """List one's claims in the order they were submitted; all for the desk.

    Example: `cardhour claims list --state submitted`
    """
    with api() as client:
        found = list(islice(client.claims.each(state=state, programme=programme, period=period), limit))
    if as_json or quiet:
        print_json(found) if as_json else print_ids(found)
        return
    print_table(
        ("id", "programme", "period", "claimant", ">CNY", ">approved CNY", ">cash CNY", "state", "signals"),
        (
            (
                row["id"],
                row["programme"],
                row["period"],
                row["claimant_org_id"],
                cny(row["amount_fen"]),
                None if row["approved_fen"] is None else cny(row["approved_fen"]),
                None if row["cash_fen"] is None else cny(row["cash_fen"]),
                row["state"],
                None if row["signals"] is None else len(row["signals"]),
            )
            for row in found
        ),
        empty="No claim matches.",
    )


@claims.command("show")
def show(claim_id: ClaimId, as_json: AsJson = False) -> None:
    """Show a claim with its lines, proofs and, to the desk, its signals.

    Example: `cardhour claims show clm_…`
    """
    with api() as client:
        print_one(client.claims.read(claim_id), _print, as_json=as_json, quiet=False)


@claims.command("submit")
def submit(
    programme: Annotated[str, typer.Argument(help="The programme's id, such as chengdu-2023.")],
    period: Annotated[str, typer.Argument(help="A period of the programme's cadence that is over, such as 2026-Q4.")],
    proof: Annotated[list[str] | None, typer.Option(help="KIND=FILE, for each kind that the programme names.")] = None,
    redemption: Annotated[list[str] | None, typer.Option(help="Only these redemptions (rdm_…).")] = None,
    amount: Annotated[str | None, typer.Option(help="What it must come to, in CNY; else it is refused.")] = None,
    claimant: Annotated[str | None, typer.Option(help="For whom (org_…), where the desk claims.")] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Claim what was redeemed in a period and is not claimed yet, with all proofs.

    Example: `cardhour claims submit chengdu-2023 2026-Q4 --proof contract=c.pdf --proof settlement=s.pdf`
    """
    files = [read_proof(each) for each in proof or ()]
    amount_fen = None if amount is None else fen(amount)
    with api() as client:
        proofs: list[ProofIn] = []
        for kind, path in files:
            document = client.claims.upload_proof(path.name, path.read_bytes(), claimant_org_id=claimant)
            proofs.append({"kind": kind, "document_id": document["id"]})
        body: ClaimIn = {
            "programme": programme,
            "period": period,
            "proofs": proofs,
            "redemption_ids": redemption or None,
            "amount_fen": amount_fen,
            "claimant_org_id": claimant,
        }
        print_one(client.claims.submit(body), _print, as_json=as_json, quiet=quiet)


@claims.command("approve")
def approve(
    claim_id: ClaimId,
    reject_line: Annotated[
        list[str] | None, typer.Option(help="All but these lines (cll_…), which are rejected.")
    ] = None,
    reason: Annotated[ClaimReason | None, typer.Option(help="Why those lines are rejected.")] = None,
    detail: Annotated[str | None, typer.Option(help="In words; the claimant sees it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Approve a claim, but for the lines rejected (the desk).

    Example: `cardhour claims approve clm_… --reject-line cll_… --reason wrong_amount --detail "Billed twice."`
    """
    rejected: list[RejectedLineIn] = []
    if reject_line:
        if reason is None or detail is None:
            raise typer.BadParameter("give --reason and --detail with --reject-line")
        rejected = [{"line_id": line, "reason": reason, "detail": detail} for line in reject_line]
    elif reason is not None or detail is not None:
        raise typer.BadParameter("--reason and --detail are of lines that are rejected: give --reject-line")
    with api() as client:
        done = client.claims.approve(client.claims.read(claim_id), rejected=rejected)
    print_one(done, _print, as_json=as_json, quiet=False)


@claims.command("reject")
def reject(
    claim_id: ClaimId,
    reason: Annotated[ClaimReason, typer.Option(help="Why.")],
    detail: Annotated[str, typer.Option(help="In words; the claimant sees it.")],
    as_json: AsJson = False,
) -> None:
    """Reject a claim with all of its lines, which can be claimed again (the desk).

    Example: `cardhour claims reject clm_… --reason proof_insufficient --detail "The record is unsigned."`
    """
    with api() as client:
        done = client.claims.reject(client.claims.read(claim_id), reason, detail)
    print_one(done, _print, as_json=as_json, quiet=False)


@claims.command("pay")
def pay(
    claim_id: ClaimId,
    amount: Annotated[str, typer.Option(help="What was paid, in CNY: exactly the claim's cash.")],
    paid_at: Annotated[str | None, typer.Option(help="When (RFC 3339); by default now.")] = None,
    reference: Annotated[str | None, typer.Option(help="Of the transfer.")] = None,
    as_json: AsJson = False,
) -> None:
    """Record that an approved claim was paid (the desk).

    Example: `cardhour claims pay clm_… --amount 450000 --reference "ICBC 7"`
    """
    amount_fen = fen(amount)
    at = None if paid_at is None else moment(paid_at)
    with api() as client:
        done = client.claims.pay(client.claims.read(claim_id), amount_fen, paid_at=at, reference=reference)
    print_one(done, _print, as_json=as_json, quiet=False)


@claims.command("advance")
def advance(
    programme: Annotated[str, typer.Argument(help="The programme's id; it must have a reserve fund.")],
    supplier: Annotated[str, typer.Option(help="Who gets it (org_…).")],
    amount: Annotated[str, typer.Option(help="How much, in CNY.")],
    reference: Annotated[str | None, typer.Option(help="Of the transfer.")] = None,
    as_json: AsJson = False,
) -> None:
    """Advance money of a reserve fund to a supplier, whose claims make up for it (the desk).

    Example: `cardhour claims advance chengdu-2023 --supplier org_… --amount 300000`
    """
    amount_fen = fen(amount)
    with api() as client:
        made = client.advances.make(programme, supplier, amount_fen, reference=reference)
    if as_json:
        print_json(made)
        return
    print_fields(
        (
            ("id", made["id"]),
            ("programme", made["programme"]),
            ("supplier", made["supplier_org_id"]),
            ("advanced", f"{cny(made['amount_fen'])} CNY"),
            ("in advance now", f"{cny(made['outstanding_fen'])} CNY"),
            ("at most", "no limit" if made["cap_fen"] is None else f"{cny(made['cap_fen'])} CNY"),
        )
    )
