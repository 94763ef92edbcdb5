"""Facts and contracts written on the command line, for `cardhour programmes explain`."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time
from typing import Any

import typer

from app.kit.money import parse_cny
from app.kit.time import format_rfc3339, parse_rfc3339
from app.vouchers.facts import ContractFacts, Facts, Item, OtherSubsidy, SupplierFacts
from app.vouchers.policy import Programme
from app.vouchers.rules import Left

Parser = Callable[[str], Any]
_KINDS = ("startup", "sme", "enterprise", "institute", "university")


def _choice(*choices: str) -> Parser:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"{text!r} is not one of {', '.join(choices)}")
        return text

    return parse


def _yes_no(text: str) -> bool:
    return _choice("yes", "no")(text) == "yes"


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def _moment(text: str) -> datetime:
    """A time with an offset, or a day: its noon in Shanghai."""
    if len(text) == len("2026-01-31"):
        return datetime.combine(date.fromisoformat(text), time(4), tzinfo=UTC)
    return parse_rfc3339(text)


_BUYER: dict[str, Parser] = {
    "kind": _choice(*_KINDS),
    "revenue": parse_cny,
    "city": str,
    "integrity": _choice("clean", "flagged"),
    "project_lead": _choice("none", "provincial", "national"),
    "clean_since": date.fromisoformat,
}
_SUPPLIER: dict[str, Parser] = {
    "name": str,
    "partner": _yes_no,
    "batch": str,
    "affiliated": _yes_no,
    "pflops": _whole,
    "racks": _whole,
    "supercomputing": _yes_no,
}
_CONTRACT: dict[str, Parser] = {
    "amount": parse_cny,
    "storage": parse_cny,
    "network": parse_cny,
    "security": parse_cny,
    "signed": _moment,
    "applied": _moment,
    "hours": _whole,
    "domestic": _yes_no,
    "workload": str,
    "blocks": _whole,
    "year_contracts": parse_cny,
    "applications": _whole,
    "on_application": _yes_no,
    "other": _choice("national", "province", "city", "district"),
    "other_amount": parse_cny,
}
_LEFT: dict[str, Parser] = {"pool": parse_cny, "buyer_year": parse_cny, "tier": parse_cny}


def _read(option: str, text: str, parsers: dict[str, Parser]) -> dict[str, Any]:
    """Return the values of `key=value,key=value`.

    Raises:
        typer.BadParameter: naming the part that is wrong.
    """
    values: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        key, equals, value = (each.strip() for each in part.partition("="))
        if not equals or key not in parsers or key in values:
            why = "is given twice" if key in values else f"is not one of {', '.join(parsers)}, as KEY=VALUE"
            raise typer.BadParameter(f"{option} {part.strip()!r}: {key!r} {why}")
        try:
            values[key] = parsers[key](value)
        except ValueError as error:
            raise typer.BadParameter(f"{option} {key}: {error}") from None
    return values


def read_buyer(text: str) -> Facts:
    """Return a buyer's facts; clean without a day has always been so."""
    given = _read("--buyer", text, _BUYER)
    clean = given.get("integrity") == "clean"
    return Facts(
        kind=given.get("kind"),
        prior_year_revenue_fen=given.get("revenue"),
        registered_city=given.get("city"),
        integrity=given.get("integrity"),
        project_lead=given.get("project_lead"),
        clean_since=given.get("clean_since", date.min) if clean else None,
    )


def read_supplier(text: str, programmes: list[Programme]) -> SupplierFacts:
    """Return a supplier's facts; a partner is one of every programme."""
    given = _read("--supplier", text, _SUPPLIER)
    ids = frozenset(programme.id for programme in programmes)
    batch = given.get("batch")
    return SupplierFacts(
        name=given.get("name"),
        partner_of=ids if given.get("partner") or batch else frozenset(),
        batches=frozenset() if batch is None else frozenset((name, batch) for name in ids),
        affiliated=given.get("affiliated", False),
        centre_pflops=given.get("pflops"),
        centre_racks=given.get("racks"),
        supercomputing=given.get("supercomputing"),
    )


def read_contract(text: str, now: datetime) -> ContractFacts:
    """Return a contract; signed now where no day is given. `amount` is the compute in it."""
    given = _read("--contract", text, _CONTRACT)
    if "amount" not in given:
        raise typer.BadParameter("--contract: amount=CNY is missing")
    if given.get("blocks") == 0:
        raise typer.BadParameter("--contract blocks: at least 1")
    items = [Item("compute", given["amount"])]
    items += [Item(kind, given[kind]) for kind in ("storage", "network", "security") if kind in given]
    other = OtherSubsidy(level=given.get("other"), amount_fen=given.get("other_amount", 0))
    return ContractFacts(
        signed_at=given.get("signed", now),
        items=tuple(items),
        hours=given.get("hours"),
        domestic=given.get("domestic"),
        workload=given.get("workload"),
        blocks=given.get("blocks", 1),
        year_contracts_fen=given.get("year_contracts", 0),
        others=(other,) if other.level else (),
        on_application=given.get("on_application", False),
        applied_at=given.get("applied"),
        applications=given.get("applications", 0),
    )


def contract_json(contract: ContractFacts) -> dict[str, Any]:
    """Return a contract as the API takes it."""
    return {
        "signed_at": format_rfc3339(contract.signed_at),
        "items": [{"kind": item.kind, "amount_fen": item.amount_fen} for item in contract.items],
        "hours": contract.hours,
        "domestic": contract.domestic,
        "workload": contract.workload,
        "blocks": contract.blocks,
        "year_contracts_fen": contract.year_contracts_fen,
        "on_application": contract.on_application,
        "others": [{"level": other.level, "amount_fen": other.amount_fen} for other in contract.others],
        "applied_at": None if contract.applied_at is None else format_rfc3339(contract.applied_at),
        "applications": contract.applications,
    }


def read_left(text: str | None, programmes: list[Programme]) -> dict[str, Left]:
    """Return what is left of the budgets of the first programme."""
    if text is None:
        return {}
    given = _read("--left", text, _LEFT)
    tiers = {tier.id: given.get("tier") for tier in programmes[0].tiers}
    return {programmes[0].id: Left(given.get("pool"), given.get("buyer_year"), tiers)}
