"""Who gets what: each clause just met and just missed, the amounts by hand, the year's turn, stacking."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from app.vouchers.programmes import Programme, load_programme, parse_programme
from app.vouchers.rules import (
    ContractFacts,
    DatedFact,
    Facts,
    Item,
    SupplierFacts,
    contract_year,
    decide,
    decide_tier,
    facts_on,
    redemption_fen,
    subsidy_fen,
    tier_terms,
    voucher_ends_at,
)
from app.vouchers.stacking import choices_for

CHENGDU = load_programme("chengdu-2023")
GENERAL, NATIONAL, PROVINCIAL = CHENGDU.tiers
OPEN = load_programme("open-example")
NOON = datetime(2026, 11, 2, 4, tzinfo=UTC)
GOOD = Facts("sme", 10_000_000_00, "成都", "clean", "none")
PARTNER = SupplierFacts(partner_of=frozenset({"chengdu-2023", "open-example", "everything"}))
EVERYTHING = """
id = "everything"
version = 1
title = {en = "Everything", zh = "全部"}
grade = "example"
sources = ["made up"]
time_zone = "Asia/Shanghai"
signed_from = 2026-05-01
signed_to = 2026-05-31
base = "contract"
max_term_days = 1
partners_only = true
claim = {by = "buyer"}

[[tiers]]
id = "only"
rate = "0.5"
mode = "up_to"
domestic = true
workloads = ["training"]
min_contract_cny = "1000"
max_contract_cny = "2000"
max_year_contracts_cny = "3000"

[[tiers.clauses]]
kinds = ["sme"]
min_prior_year_revenue_cny = "1000"
max_prior_year_revenue_cny = "5000"
integrity = "clean"
clean_years = 1
project_lead = ["provincial"]
registered_cities = ["苏州"]
"""


def contract_of(signed_at: datetime, amount_fen: int, **terms: Any) -> ContractFacts:
    return ContractFacts(signed_at, (Item("compute", amount_fen),), **terms)


def test_validity_is_of_the_day_of_application_in_the_programmes_zone() -> None:
    def unmet(programme: Programme, applied_at: datetime) -> tuple[str, ...]:
        contract = replace(contract_of(NOON, 100_000_00), applied_at=applied_at)
        return decide(programme, contract, GOOD, PARTNER).best.unmet

    dated = CHENGDU.model_copy(update={"valid_from": date(2026, 11, 3)})
    assert unmet(dated, datetime(2026, 11, 2, 15, 59, 59, tzinfo=UTC)) == ("valid_from",)
    assert unmet(dated, datetime(2026, 11, 2, 16, tzinfo=UTC)) == ()
    ended = CHENGDU.model_copy(update={"valid_to": date(2026, 11, 2)})
    assert unmet(ended, datetime(2026, 11, 2, 15, 59, 59, tzinfo=UTC)) == ()
    assert unmet(ended, datetime(2026, 11, 2, 16, tzinfo=UTC)) == ("valid_to",)


def test_every_clause_of_a_programme_just_met_and_just_missed() -> None:
    """What no shipped programme asks: a tier's own conditions, a window of signing, a revenue that is not too large."""
    programme = parse_programme(EVERYTHING, "everything")
    good = contract_of(datetime(2026, 5, 1, tzinfo=UTC), 1_000_00, hours=24, domestic=True, workload="training")
    buyer = Facts("sme", 5_000_00, "苏州", "clean", "provincial", date(2025, 5, 1))
    assert decide(programme, good, buyer, PARTNER).best.unmet == ()
    missed = {
        "signed_from": replace(good, signed_at=datetime(2026, 4, 30, 15, 59, 59, tzinfo=UTC)),
        "signed_to": replace(good, signed_at=datetime(2026, 5, 31, 16, tzinfo=UTC)),
        "term": replace(good, hours=25),
        "domestic": replace(good, domestic=None),
        "workload": replace(good, workload=None),
        "min_contract": contract_of(good.signed_at, 999_99, hours=24, domestic=True, workload="training"),
        "max_contract": contract_of(good.signed_at, 2_000_01, hours=24, domestic=True, workload="training"),
        "max_year_contracts": replace(good, year_contracts_fen=2_000_01),
    }
    edge = contract_of(good.signed_at, 2_000_00, hours=24, domestic=True, workload="training")
    assert decide(programme, edge, buyer, PARTNER).best.unmet == ()
    assert decide(programme, replace(good, year_contracts_fen=2_000_00), buyer, PARTNER).best.unmet == ()
    last = replace(good, signed_at=datetime(2026, 5, 31, 15, 59, 59, tzinfo=UTC))
    assert decide(programme, last, buyer, PARTNER).best.unmet == ()
    for name, contract in missed.items():
        found = decide(programme, contract, buyer, PARTNER)
        assert (found.best.unmet[0], found.amount_fen) == (name, 0)
    for name, facts in (
        ("max_prior_year_revenue", replace(buyer, prior_year_revenue_fen=5_000_01)),
        ("prior_year_revenue", replace(buyer, prior_year_revenue_fen=999_99)),
        ("clean_years", replace(buyer, clean_since=date(2025, 5, 2))),
        ("clean_years", replace(buyer, clean_since=None)),
        ("project_lead", replace(buyer, project_lead="national")),
        ("registered_city", replace(buyer, registered_city="无锡")),
        ("kind", replace(buyer, kind="startup")),
    ):
        assert decide(programme, good, facts, PARTNER).best.unmet == (name,)


def test_what_is_not_known_meets_no_clause() -> None:
    programme = parse_programme(EVERYTHING, "everything")
    contract = contract_of(datetime(2026, 5, 1, tzinfo=UTC), 1_000_00)
    assert decide(programme, contract, Facts(), SupplierFacts()).best.unmet == (
        "term", "partner", "domestic", "workload", "kind", "prior_year_revenue", "max_prior_year_revenue", "integrity",
        "clean_years", "project_lead", "registered_city",
    )  # fmt: skip


def test_the_best_tier_is_chosen_and_the_others_are_told() -> None:
    lead = replace(GOOD, project_lead="national")
    found = decide(CHENGDU, contract_of(NOON, 3_000_000_00), lead, PARTNER)
    assert [(tier.tier, tier.amount_fen) for tier in found.tiers] == [
        ("general", 1_000_000_00),
        ("project-lead-national", 900_000_00),
        ("project-lead-provincial", 0),
    ]
    assert (found.best.tier, found.eligible, found.desk_checks) == ("general", True, ())
    own = decide(CHENGDU, contract_of(NOON, 3_000_000_00), lead, PARTNER, tier="project-lead-national")
    assert (own.amount_fen, len(own.desk_checks)) == (900_000_00, 1)
    with pytest.raises(KeyError):
        decide(CHENGDU, contract_of(NOON, 1), lead, PARTNER, tier="none")


def test_a_voucher_ends_with_a_day_in_the_programmes_zone() -> None:
    suzhou = load_programme("suzhou-example")
    ends = voucher_ends_at(suzhou, datetime(2026, 1, 1, 15, 59, tzinfo=UTC))
    # Issued on 1 January: 180 days after it is 30 June, to its end.
    assert ends == datetime(2026, 6, 30, 16, tzinfo=UTC)
    assert voucher_ends_at(CHENGDU, NOON) is None


def test_a_redemption_follows_the_cumulative_base() -> None:
    assert redemption_fen(500_000, 3, 0, 100) == 1
    assert redemption_fen(500_000, 4, 1, 100) == 1
    assert redemption_fen(500_000, 1_000, 90, 100) == 10
    assert redemption_fen(500_000, 100, 90, 100) == -40


def test_amounts_by_hand() -> None:
    """Chengdu: 3 000 000 CNY earn min(50 % = 1 500 000, buyer's cap 1 000 000) = 1 000 000."""
    terms = tier_terms(CHENGDU, GENERAL, "b", 2026)
    caps = [budget.limit_fen for budget in terms.budgets]
    assert subsidy_fen(terms, 3_000_000_00, caps) == 1_000_000_00
    # 20 000 CNY earn exactly the minimum voucher, a fen less earns nothing.
    assert subsidy_fen(terms, 20_000_00, caps) == 10_000_00
    assert subsidy_fen(terms, 20_000_00 - 1, caps) == 0
    assert subsidy_fen(terms, 3_000_000_00, [250_000_00]) == 250_000_00
    assert subsidy_fen(tier_terms(OPEN, OPEN.tiers[0], "b", 2026), 3, []) == 1


def test_names_and_limits_of_budgets() -> None:
    terms = tier_terms(OPEN, OPEN.tiers[0], "b7", 2026)
    assert [(budget.name, budget.limit_fen) for budget in terms.budgets] == [
        ("open-example/pool/2026", 200_000_00),
        ("open-example/buyer/b7/2026", 5_000_00),
    ]
    lead = tier_terms(CHENGDU, NATIONAL, "b7", 2026)
    assert ("chengdu-2023/project-lead-national/buyer/b7", 3_000_000_00) in {
        (budget.name, budget.limit_fen) for budget in lead.budgets
    }


def test_the_year_turns_at_midnight_in_shanghai() -> None:
    assert contract_year(OPEN, datetime(2026, 12, 31, 15, 59, 59, tzinfo=UTC)) == 2026
    assert contract_year(OPEN, datetime(2026, 12, 31, 16, tzinfo=UTC)) == 2027


def test_facts_are_read_as_of_the_day() -> None:
    history = [
        DatedFact("kind", "startup", date(2025, 1, 1)),
        DatedFact("kind", "sme", date(2026, 6, 1)),
        DatedFact("integrity", "clean", date(2025, 1, 1)),
        DatedFact("integrity", "flagged", date(2027, 1, 1)),
        DatedFact("prior_year_revenue_fen", 7, date(2026, 1, 1)),
    ]
    assert facts_on(history, date(2026, 5, 31)) == Facts("startup", 7, None, "clean", None, date(2025, 1, 1))
    assert facts_on(history, date(2026, 6, 1)) == Facts("sme", 7, None, "clean", None, date(2025, 1, 1))
    assert facts_on(history, date(2024, 1, 1)) == Facts()
    assert facts_on(history, date(2027, 1, 1)) == Facts("sme", 7, None, "flagged", None, None)
    # An entry breaks the record; a later statement that it is clean goes on from the break.
    history += [DatedFact("integrity", "clean", date(2028, 1, 1)), DatedFact("integrity", "clean", date(2029, 1, 1))]
    assert facts_on(history, date(2030, 1, 1)).clean_since == date(2028, 1, 1)


def choices(programmes: tuple[Programme, ...], supplier: SupplierFacts) -> list[tuple[list[str], int | None]]:
    found = choices_for(programmes, GOOD, ContractFacts(NOON, (), hours=1), supplier)
    return [([part.programme for part in choice.parts], choice.ceiling_ppm) for choice in found]


def test_options_of_programmes() -> None:
    assert choices((CHENGDU, OPEN), PARTNER) == [(["chengdu-2023"], None), (["open-example"], None)]
    assert choices((CHENGDU, OPEN), SupplierFacts()) == []


def test_programmes_that_stack_make_options_together_under_their_ceiling() -> None:
    one = OPEN.model_copy(update={"stacks_with": ("chengdu-2023",), "stacking_ceiling": "0.6"})
    other = CHENGDU.model_copy(update={"stacks_with": ("open-example",)})
    assert choices((other, one), PARTNER) == [
        (["chengdu-2023"], None),
        (["open-example"], None),
        (["chengdu-2023", "open-example"], 600_000),
    ]
    # One alone saying so isn't enough.
    assert len(choices((CHENGDU, one), PARTNER)) == 2


def test_choices_say_what_the_rule_says_at_every_edge() -> None:
    """A clearing's options are the rule's own answers: amount by amount around each edge, alone and stacked."""
    programmes = (load_programme("hangzhou-2025"), load_programme("national-smart"), load_programme("suzhou-example"))
    ids = frozenset(programme.id for programme in programmes)
    supplier = SupplierFacts(partner_of=ids, affiliated=False)
    for domestic, blocks, record in (
        (True, 1, 0),
        (False, 3, 100_000_00),
        (None, 7, 499_999_99),
        (True, 1, 600_000_00),
    ):
        template = ContractFacts(NOON, (), 24, domestic, blocks=blocks, year_contracts_fen=record)
        found = choices_for(programmes, GOOD, template, supplier)
        ends = {choice: 10**12 if choice.to_fen is None else choice.to_fen for choice in found}
        edges = {choice.from_fen for choice in found} | set(ends.values())
        for amount in sorted({max(0, edge + step) for edge in edges for step in (-1, 0, 1)}):
            contract = replace(template, items=(Item("compute", amount),))
            for programme in programmes:
                told = decide_tier(programme, programme.tiers[0], contract, GOOD, supplier)
                here = [
                    choice.parts[0].rate_ppm
                    for choice in found
                    if [part.programme for part in choice.parts] == [programme.id]
                    and choice.from_fen <= amount <= ends[choice] + (choice.to_fen is None)
                ]
                assert here == [told.rate_ppm]
