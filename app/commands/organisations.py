"""`cardhour organisations`: who takes part."""

from datetime import datetime
from itertools import islice
from typing import Annotated, Final

import typer

from app.client.types import FactIn, FactKey, FactOut, OrganisationOut, OrganisationState, Role
from app.commands.console import (
    AsJson,
    MarketRole,
    Quiet,
    api,
    local_time,
    print_fields,
    print_ids,
    print_json,
    print_one,
    print_table,
)

organisations = typer.Typer(help="Organisations: register, list, approve, facts.", no_args_is_help=True)

OrganisationId = Annotated[str, typer.Argument(help="The organisation's id (org_…).")]
Reason = Annotated[str | None, typer.Option(help="Why; the organisation sees it.")]

_NUMBERS: Final = {"prior_year_revenue_fen", "centre_pflops", "centre_racks"}
_YES_NO: Final = {"partner", "supercomputing"}


def _show(organisation: OrganisationOut) -> None:
    print_fields(
        (
            ("id", organisation["id"]),
            ("name", organisation["name"]),
            ("state", organisation["state"]),
            ("reason", organisation["state_reason"]),
            ("roles", [f"{role['role']} ({role['ref']})" for role in organisation["roles"]]),
            ("contact", organisation["contact"]),
            ("registered", local_time(organisation["created_at"])),
        )
    )


@organisations.command("list")
def list_organisations(
    state: Annotated[OrganisationState | None, typer.Option(help="Only in this state.")] = None,
    role: Annotated[Role | None, typer.Option(help="Only with this role.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """List organisations, in the order of registration (the desk, auditors).

    Example: `cardhour organisations list --state pending`
    """
    with api() as client:
        found = list(islice(client.organisations.each(state=state, role=role), limit))
    if as_json or quiet:
        print_json(found) if as_json else print_ids(found)
        return
    print_table(
        ("id", "name", "state", "roles", "registered"),
        (
            (
                row["id"],
                row["name"],
                row["state"],
                [role["role"] for role in row["roles"]],
                local_time(row["created_at"]),
            )
            for row in found
        ),
        empty="No organisation matches.",
    )


@organisations.command("show")
def show(organisation_id: OrganisationId, as_json: AsJson = False) -> None:
    """Show one organisation and the facts on record about it.

    Example: `cardhour organisations show org_…`
    """
    with api() as client:
        organisation = client.organisations.read(organisation_id)
        facts = client.organisations.facts(organisation_id)["data"]
    if as_json:
        print_json({**organisation, "facts": facts})
        return
    _show(organisation)
    print_table(
        ("fact", "value", "from", "verified"),
        ((fact["key"], fact["value"], fact["valid_from"], local_time(fact["verified_at"])) for fact in facts),
        empty="No facts are on record.",
    )


@organisations.command("register")
def register(
    name: Annotated[str, typer.Option(help="Its name.")],
    role: Annotated[list[MarketRole], typer.Option(help="What it takes part as; repeatable.")],
    ref: Annotated[str | None, typer.Option(help="Its reference in market files.")] = None,
    contact: Annotated[str | None, typer.Option(help="Whom the other side reaches after confirmation.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the key alone.")] = False,
    as_json: AsJson = False,
) -> None:
    """Register an organisation; needs no key. Its first key is shown this once.

    Example: `cardhour organisations register --name 示例初创三十 --role buyer --contact ops@example.test`
    """
    with api() as client:
        made = client.organisations.register(
            {"name": name, "roles": [each.value for each in role], "ref": ref, "contact": contact}
        )
    if as_json:
        print_json(made)
        return
    if quiet:
        typer.echo(made["key"]["secret"])
        return
    _show(made["organisation"])
    typer.echo(f"\nexport CARDHOUR_API_KEY={made['key']['secret']}")
    typer.echo("The key is shown this once. It works once the desk has approved the organisation.")


@organisations.command("approve")
def approve(organisation_id: OrganisationId, reason: Reason = None, as_json: AsJson = False) -> None:
    """Let an organisation work (the desk).

    Example: `cardhour organisations approve org_…`
    """
    with api() as client:
        organisation = client.organisations.approve(organisation_id, reason=reason)
    print_json(organisation) if as_json else _show(organisation)


@organisations.command("reject")
def reject(organisation_id: OrganisationId, reason: Reason = None, as_json: AsJson = False) -> None:
    """Turn a registration down (the desk).

    Example: `cardhour organisations reject org_… --reason "no such credit code"`
    """
    with api() as client:
        organisation = client.organisations.reject(organisation_id, reason=reason)
    print_json(organisation) if as_json else _show(organisation)


@organisations.command("suspend")
def suspend(organisation_id: OrganisationId, reason: Reason = None, as_json: AsJson = False) -> None:
    """Stop an organisation from acting (the desk); what is reserved stays.

    Example: `cardhour organisations suspend org_… --reason "under review"`
    """
    with api() as client:
        organisation = client.organisations.suspend(organisation_id, reason=reason)
    print_json(organisation) if as_json else _show(organisation)


@organisations.command("fact")
def record_fact(
    organisation_id: OrganisationId,
    key: Annotated[FactKey, typer.Argument(help="What it is about.")],
    value: Annotated[str, typer.Argument(help="What holds: a word, a whole number (revenue in fen), or yes or no.")],
    since: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="The day from which it holds.")],
    evidence: Annotated[str | None, typer.Option(help="What proves it.")] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Record a dated fact; the desk's own counts at once, another's once the desk has verified it.

    Example: `cardhour organisations fact org_… integrity clean --since 2026-01-01 --evidence "credit report"`
    """
    body: FactIn = {
        "key": key,
        "value": _fact_value(key, value),
        "valid_from": since.date().isoformat(),
        "evidence": evidence,
    }
    with api() as client:
        _print_fact(client.organisations.record_fact(organisation_id, body), as_json=as_json, quiet=quiet)


@organisations.command("verify-fact")
def verify_fact(
    organisation_id: OrganisationId,
    fact_id: Annotated[str, typer.Argument(help="The fact's id (fact_…).")],
    as_json: AsJson = False,
) -> None:
    """Mark a fact as checked against its evidence (the desk); from then on rules read it.

    Example: `cardhour organisations verify-fact org_… fact_…`
    """
    with api() as client:
        _print_fact(client.organisations.verify_fact(organisation_id, fact_id), as_json=as_json, quiet=False)


def _fact_value(key: FactKey, text: str) -> str | int | bool:
    """Return a fact's value as the API takes it.

    Raises:
        typer.BadParameter: where a number or a yes or no is asked for and is not given.
    """
    if key in _NUMBERS:
        if not (text.isascii() and text.isdigit()):
            raise typer.BadParameter(f"{key} is a whole number, not {text!r}")
        return int(text)
    if key in _YES_NO:
        if text not in {"yes", "no"}:
            raise typer.BadParameter(f"{key} is yes or no, not {text!r}")
        return text == "yes"
    return text


def _print_fact(fact: FactOut, *, as_json: bool, quiet: bool) -> None:
    def show(found: FactOut) -> None:
        print_fields(
            (
                ("id", found["id"]),
                ("fact", found["key"]),
                ("value", found["value"]),
                ("holds from", found["valid_from"]),
                ("evidence", found["evidence"]),
                ("verified", local_time(found["verified_at"]) or "not yet"),
            )
        )

    print_one(fact, show, as_json=as_json, quiet=quiet)
