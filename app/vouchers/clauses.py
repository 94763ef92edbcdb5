"""The clauses of a programme, each held against a contract, its buyer and its supplier. Pure: no database."""

from collections.abc import Callable, Iterable
from datetime import date, datetime

from app.kit.money import format_cny, parse_cny
from app.vouchers.facts import ContractFacts, Facts, OtherSubsidy, SupplierFacts
from app.vouchers.findings import Finding
from app.vouchers.policy import Centre, Clause, Programme, RateRow, Stack, Tier


def contract_year(programme: Programme, moment: datetime) -> int:
    """Return the programme's calendar year of a moment, in its own time zone."""
    return moment.astimezone(programme.zone).year


def signing_day(programme: Programme, moment: datetime) -> date:
    """Return the day of a moment in the programme's time zone."""
    return moment.astimezone(programme.zone).date()


def clauses_of(
    programme: Programme, tier: Tier, contract: ContractFacts, buyer: Facts, supplier: SupplierFacts
) -> tuple[Finding, ...]:
    """Return each clause on a contract and its parties, met or not; of alternative ones on a buyer the nearest."""
    return (
        *_about_time(programme, contract),
        *_about_supplier(programme, supplier),
        *_about_others(programme, contract),
        *_about_contract(tier, contract),
        *_about_buyer(programme, tier, contract, buyer),
    )


def row_holds(row: RateRow, contract: ContractFacts, buyer: Facts) -> bool:
    """Whether a row of rates is for a contract."""
    return (
        row.domestic in (None, contract.domestic)
        and (not row.kinds or buyer.kind in row.kinds)
        and (not row.workloads or contract.workload in row.workloads)
        and all(finding.met for finding in _about_size(row, contract))
    )


def stack_with(programme: Programme, other: OtherSubsidy, contract: ContractFacts) -> Stack | None:
    """Return the rule by which another subsidy may be had too: what is applied for first, else what is automatic."""
    modes = ("on_application", "automatic") if contract.on_application else ("automatic",)
    return next(
        (
            stack
            for mode in modes
            for stack in programme.all_stacks
            if stack.mode == mode
            and stack.domestic in (None, contract.domestic)
            and (
                other.programme == stack.with_programme
                if stack.with_programme is not None
                else other.level == stack.with_level
            )
        ),
        None,
    )


def _about_time(programme: Programme, contract: ContractFacts) -> Iterable[Finding]:
    signed = signing_day(programme, contract.signed_at)
    applied = signing_day(programme, contract.applied_at or contract.signed_at)
    if programme.valid_from is not None:
        yield Finding("valid_from", applied >= programme.valid_from, f">= {programme.valid_from}", str(applied))
    if programme.valid_to is not None:
        yield Finding("valid_to", applied <= programme.valid_to, f"<= {programme.valid_to}", str(applied))
    if programme.signed_from is not None:
        yield Finding("signed_from", signed >= programme.signed_from, f">= {programme.signed_from}", str(signed))
    if programme.signed_to is not None:
        yield Finding("signed_to", signed <= programme.signed_to, f"<= {programme.signed_to}", str(signed))
    if programme.applied_in_year_of_signing:
        yield Finding("contract_year", applied.year == signed.year, str(signed.year), str(applied.year))
    if programme.max_term_days is not None:
        hours, most = contract.hours, 24 * programme.max_term_days
        yield Finding(
            "term", hours is not None and hours <= most, f"<= {most} h", None if hours is None else f"{hours} h"
        )
    if programme.one_application_per_contract:
        yield Finding("application", contract.applications == 0, "0", str(contract.applications))


def _about_supplier(programme: Programme, supplier: SupplierFacts) -> Iterable[Finding]:
    conditions = programme.suppliers
    named = {batch.batch for batch in conditions.partners if supplier.name in batch.names}
    partner = programme.id in supplier.partner_of or bool(named)
    if programme.partners_only:
        yield Finding("partner", partner, "yes", _yes(partner))
    if conditions.batches:
        own = named | {batch for name, batch in supplier.batches if name == programme.id}
        # One that is a partner by a fact or a market file has no batch on record.
        met = not own.isdisjoint(conditions.batches) or (partner and not own)
        yield Finding(
            "batch", met, ", ".join(conditions.batches), ", ".join(sorted(own)) or ("partner" if partner else "none")
        )
    if conditions.not_affiliated:
        met = supplier.affiliated is False
        yield Finding("affiliation", met, "no", None if supplier.affiliated is None else _yes(supplier.affiliated))
    if conditions.centres:
        met = partner or any(_centre_holds(centre, supplier) for centre in conditions.centres)
        needed = " / ".join(_tell_centre(centre) for centre in conditions.centres)
        yield Finding("centre", met, needed, _tell_size(supplier, partner=partner))


def admits(programme: Programme, supplier: SupplierFacts) -> bool:
    """Whether a programme admits a supplier, whoever buys of it: all but affiliation."""
    return all(finding.met for finding in _about_supplier(programme, supplier) if finding.name != "affiliation")


def _centre_holds(centre: Centre, supplier: SupplierFacts) -> bool:
    pflops, racks = supplier.centre_pflops, supplier.centre_racks
    return (
        (centre.min_pflops is None or (pflops is not None and pflops >= centre.min_pflops))
        and (centre.more_racks_than is None or (racks is not None and racks > centre.more_racks_than))
        and (centre.supercomputing is None or supplier.supercomputing is True)
    )


def _tell_centre(centre: Centre) -> str:
    parts = (
        f">= {centre.min_pflops} PFLOPS" if centre.min_pflops is not None else "",
        f"> {centre.more_racks_than} racks" if centre.more_racks_than is not None else "",
        "supercomputing" if centre.supercomputing else "",
    )
    return " + ".join(part for part in parts if part)


def _tell_size(supplier: SupplierFacts, *, partner: bool) -> str | None:
    parts = (
        "partner" if partner else "",
        "" if supplier.centre_pflops is None else f"{supplier.centre_pflops} PFLOPS",
        "" if supplier.centre_racks is None else f"{supplier.centre_racks} racks",
        "supercomputing" if supplier.supercomputing else "",
    )
    return " + ".join(part for part in parts if part) or None


def _about_others(programme: Programme, contract: ContractFacts) -> Iterable[Finding]:
    """A subsidy beside it must be one that stacks, where it is one of ours or of a level that is excluded."""
    for other in contract.others:
        barred = other.programme is not None or other.level in programme.excludes
        met = not barred or stack_with(programme, other, contract) is not None
        yield Finding("other_subsidy", met, _maystack_with(programme), other.programme or other.level)
    if not contract.others and programme.excludes:
        yield Finding("other_subsidy", True, _maystack_with(programme), "none")


def _maystack_with(programme: Programme) -> str:
    names = {str(stack.with_programme or stack.with_level) for stack in programme.all_stacks}
    return ", ".join(sorted(names)) or "none"


def _about_contract(tier: Tier, contract: ContractFacts) -> Iterable[Finding]:
    if tier.domestic is not None:
        found = None if contract.domestic is None else _yes(contract.domestic)
        yield Finding("domestic", contract.domestic is tier.domestic, _yes(tier.domestic), found)
    if tier.workloads:
        yield Finding("workload", contract.workload in tier.workloads, ", ".join(tier.workloads), contract.workload)
    yield from _about_size(tier, contract)


def _about_size(terms: Tier | RateRow, contract: ContractFacts) -> Iterable[Finding]:
    amount, year = contract.amount_fen, contract.year_fen
    if terms.min_contract_cny is not None:
        least = parse_cny(terms.min_contract_cny)
        yield Finding("min_contract", amount >= least, at_least(least), in_cny(amount))
    if terms.max_contract_cny is not None:
        most = parse_cny(terms.max_contract_cny)
        yield Finding("max_contract", amount <= most, at_most(most), in_cny(amount))
    if terms.max_year_contracts_cny is not None:
        most = parse_cny(terms.max_year_contracts_cny)
        yield Finding("max_year_contracts", year <= most, at_most(most), in_cny(year))


def _about_buyer(programme: Programme, tier: Tier, contract: ContractFacts, buyer: Facts) -> tuple[Finding, ...]:
    """Of the tier's clauses the nearest to being met, of equals the first."""
    day = signing_day(programme, contract.signed_at)
    found = [tuple(_about_clause(clause, buyer, day)) for clause in tier.clauses]
    return min(found, key=lambda findings: sum(not finding.met for finding in findings))


def _about_clause(clause: Clause, buyer: Facts, day: date) -> Iterable[Finding]:
    if clause.kinds:
        yield Finding("kind", buyer.kind in clause.kinds, ", ".join(clause.kinds), buyer.kind)
    yield from _about_revenue(clause, buyer.prior_year_revenue_fen)
    if clause.integrity is not None:
        yield Finding("integrity", buyer.integrity == clause.integrity, clause.integrity, buyer.integrity)
    if clause.clean_years is not None:
        since, latest = buyer.clean_since, _years_before(day, clause.clean_years)
        met = since is not None and since <= latest
        yield Finding("clean_years", met, f"<= {latest}", None if since is None else str(since))
    if clause.project_lead:
        met = buyer.project_lead in clause.project_lead
        yield Finding("project_lead", met, ", ".join(clause.project_lead), buyer.project_lead)
    if clause.registered_cities:
        met = buyer.registered_city in clause.registered_cities
        yield Finding("registered_city", met, ", ".join(clause.registered_cities), buyer.registered_city)


def _about_revenue(clause: Clause, revenue: int | None) -> Iterable[Finding]:
    found = None if revenue is None else in_cny(revenue)
    bounds: tuple[tuple[str, str | None, Callable[[int, int], bool], Callable[[int], str]], ...] = (
        ("prior_year_revenue", clause.min_prior_year_revenue_cny, int.__ge__, at_least),
        ("max_prior_year_revenue", clause.max_prior_year_revenue_cny, int.__le__, at_most),
    )
    for name, bound, holds, tell in bounds:
        if bound is not None:
            fen = parse_cny(bound)
            yield Finding(name, revenue is not None and holds(revenue, fen), tell(fen), found)


def _years_before(day: date, years: int) -> date:
    """Return the same day some years earlier; of 29 February the 28th."""
    try:
        return day.replace(year=day.year - years)
    except ValueError:
        return day.replace(year=day.year - years, day=28)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def in_cny(fen: int) -> str:
    """Return an amount as a clause tells it."""
    return f"{format_cny(fen)} CNY"


def at_least(fen: int) -> str:
    """Return a lower bound as a clause tells it."""
    return f">= {in_cny(fen)}"


def at_most(fen: int) -> str:
    """Return an upper bound as a clause tells it."""
    return f"<= {in_cny(fen)}"
