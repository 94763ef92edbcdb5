"""`cardhour ledger`: the books of the voucher programmes."""

from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

import typer

from app.client.types import AccountOut, LineOut
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
    print_table,
)

ledger = typer.Typer(help="The ledger: accounts, statements, trial balance, export, corrections.", no_args_is_help=True)

Programme = Annotated[
    str | None, typer.Option(help="Only accounts of this programme, and those that these post with.", metavar="ID")
]
Owner = Annotated[str | None, typer.Option(help="Only accounts of this organisation (org_…).", metavar="ID")]
AccountId = Annotated[str, typer.Argument(help="The account's id (acct_…) or its name.")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="At most so many rows.")]


@ledger.command("accounts")
def list_accounts(
    kind: Annotated[str | None, typer.Option(help="Only of this kind: pool, voucher, buyer_quota, …")] = None,
    limit: Limit = 100,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List accounts with what is left on them: one's own; all for the desk and auditors.

    Example: `cardhour ledger accounts --kind pool`
    """
    with api() as client:
        found: list[AccountOut] = list(islice(client.ledger.each_account(kind=kind), limit))
    if as_json:
        print_json(found)
    elif quiet:
        print_ids(found)
    else:
        print_table(
            ("id", "name", "kind", ">pending", ">debited", ">credited", ">left CNY"),
            (
                (
                    row["id"],
                    row["name"],
                    row["kind"],
                    cny(row["debits_pending"]),
                    cny(row["debits_posted"]),
                    cny(row["credits_posted"]),
                    _signed(row["credits_posted"] - row["debits_posted"] - row["debits_pending"]),
                )
                for row in found
            ),
            empty="No account is open; the desk opens a programme: cardhour programmes open ID --year YEAR",
        )


@ledger.command("statement")
def show_statement(account: AccountId, limit: Limit = 1_000, as_json: AsJson = False) -> None:
    """Show an account's transfers in the order of record, each with what was left after it.

    Example: `cardhour ledger statement open-example/pool/2026`
    """
    with api() as client:
        account_id = account
        if not account.startswith("acct_"):
            found = client.ledger.accounts(name=account)["data"]
            if not found:
                raise ValueError(f"No account is named {account!r}, or it is not yours; see: cardhour ledger accounts")
            account_id = found[0]["id"]
        lines: list[LineOut] = list(islice(client.ledger.each_line(account_id), limit))
    if as_json:
        print_json(lines)
        return
    print_table(
        ("seq", "at", "kind", "other account", ">pending", ">debit", ">credit", ">left CNY", "about"),
        (
            (
                row["seq"],
                local_time(row["created_at"]),
                row["kind"],
                row["other_account"] or row["other_account_id"],
                _signed(row["pending_fen"]) if row["pending_fen"] else "",
                cny(row["posted_fen"]) if row["side"] == "debit" and row["posted_fen"] else "",
                cny(row["posted_fen"]) if row["side"] == "credit" and row["posted_fen"] else "",
                _signed(row["left_fen"]),
                f"corrects {row['corrects_id']}: {row['reason']}" if row["corrects_id"] else row["subject"],
            )
            for row in lines
        ),
        empty="Nothing was posted on this account.",
    )


@ledger.command("trial-balance")
def show_trial_balance(programme: Programme = None, owner: Owner = None, as_json: AsJson = False) -> None:
    """Show what was debited and credited by kind of account; of all, a programme or an organisation.

    Exits 1 if the books do not balance. Example: `cardhour ledger trial-balance --programme open-example`
    """
    with api() as client:
        balance = client.ledger.trial_balance(programme=programme, owner_org_id=owner)
    if as_json:
        print_json(balance)
    else:
        total = balance["total"]
        rows = [(row["kind"], row["accounts"], row) for row in balance["kinds"]]
        print_table(
            ("kind", ">accounts", ">debits pending", ">debits", ">credits pending", ">credits"),
            (
                (
                    kind,
                    count,
                    cny(sums["debits_pending"]),
                    cny(sums["debits_posted"]),
                    cny(sums["credits_pending"]),
                    cny(sums["credits_posted"]),
                )
                for kind, count, sums in [*rows, ("total", sum(count for _, count, _ in rows), total)]
            ),
            empty="No account is open.",
        )
        print_fields([("balanced", balance["balanced"])] if balance["balanced"] is not None else [])
    if balance["balanced"] is False:
        raise typer.Exit(1)


@ledger.command("export")
def export_statements(
    file: Annotated[Path, typer.Option(help="The file to write.", metavar="FILE")],
    format: Annotated[  # noqa: A002  the option's name
        Literal["csv", "jsonl"], typer.Option(help="CSV has amounts in CNY, JSON Lines in fen.")
    ] = "csv",
    programme: Programme = None,
    owner: Owner = None,
    account: Annotated[str | None, typer.Option(help="Only this account (acct_…).", metavar="ID")] = None,
) -> None:
    """Write every line of the accounts to a file, each with the balances after it.

    Example: `cardhour ledger export --programme open-example --file ledger.csv`
    """
    with api() as client:
        content = client.ledger.export(format=format, programme=programme, owner_org_id=owner, account_id=account)
    try:
        file.write_bytes(content)
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}") from None
    print_fields([("file", file), ("bytes", f"{len(content):,}")])


@ledger.command("correct")
def correct_transfer(
    transfer_id: Annotated[str, typer.Argument(help="The posted transfer's id (xfer_…).")],
    amount: Annotated[str, typer.Option(help="What to take back, in CNY.")],
    reason: Annotated[str, typer.Option(help="Why, in words; it is kept.")],
    as_json: AsJson = False,
) -> None:
    """Take back what a transfer posted, in whole or in part, by a new one the other way (the desk).

    Example: `cardhour ledger correct xfer_01h… --amount 12.50 --reason "One card too many was invoiced."`
    """
    with api() as client:
        made = client.ledger.correct(transfer_id, fen(amount), reason)
    if as_json:
        print_json(made)
        return
    print_fields(
        (
            ("correction", made["transfer"]["id"]),
            ("corrects", made["corrects_id"]),
            ("amount", f"{cny(made['transfer']['amount_fen'])} CNY"),
            ("reason", made["reason"]),
        )
    )


def _signed(amount_fen: int) -> str:
    return f"-{cny(-amount_fen)}" if amount_fen < 0 else cny(amount_fen)
