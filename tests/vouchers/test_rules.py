"""Who gets what: each clause just met and just missed, the amounts by hand, the year's turn, stacking."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from app.vouchers.programmes import load_programme
from app.vouchers.rules import (
    DatedFact,
    Facts,
    contract_year,
    facts_on,
    refusal,
    subsidy_fen,
    terms_for,
    tier_terms,
)

CHENGDU = load_programme("chengdu-2023")
GENERAL, NATIONAL, PROVINCIAL = CHENGDU.tiers
OPEN = load_programme("open-example")
DAY = date(2026, 11, 2)
NOON = datetime(2026, 11, 2, 4, tzinfo=UTC)
GOOD = Facts("sme", 10_000_000_00, "成都", "clean", "none")


@pytest.mark.parametrize(
    ("facts", "refused"),
    [
        (GOOD, ()),
        (replace(GOOD, kind="startup"), ()),
        (replace(GOOD, kind="enterprise"), ()),
        (replace(GOOD, prior_year_revenue_fen=10_000_000_00 - 1), ("prior_year_revenue",)),
        (replace(GOOD, prior_year_revenue_fen=None), ("prior_year_revenue",)),
        (replace(GOOD, integrity="flagged"), ("integrity",)),
        (replace(GOOD, integrity=None), ("integrity",)),
        (Facts("institute", 0, None, "clean", "none"), ()),
        (Facts("university", None, None, "clean", "none"), ()),
        (Facts("university", None, None, "flagged", "none"), ("integrity",)),
    ],
)
def test_chengdu_general(facts: Facts, refused: tuple[str, ...]) -> None:
    assert refusal(CHENGDU, GENERAL, facts, DAY, partner=True) == refused


def test_partner_and_validity() -> None:
    assert refusal(CHENGDU, GENERAL, GOOD, DAY, partner=False) == ("partner",)
    dated = CHENGDU.model_copy(update={"valid_from": date(2026, 11, 3)})
    assert refusal(dated, GENERAL, GOOD, DAY, partner=True) == ("valid_from",)
    assert refusal(dated, GENERAL, GOOD, date(2026, 11, 3), partner=True) == ()
    ended = CHENGDU.model_copy(update={"valid_to": date(2026, 11, 1)})
    assert refusal(ended, GENERAL, GOOD, DAY, partner=True) == ("valid_to",)


def test_project_leads() -> None:
    for tier, lead in ((NATIONAL, "national"), (PROVINCIAL, "provincial")):
        assert refusal(CHENGDU, tier, replace(GOOD, project_lead=lead), DAY, partner=True) == ()
        assert refusal(CHENGDU, tier, GOOD, DAY, partner=True) == ("project_lead",)


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
    assert facts_on(history, date(2026, 5, 31)) == Facts("startup", 7, None, "clean", None)
    assert facts_on(history, date(2026, 6, 1)) == Facts("sme", 7, None, "clean", None)
    assert facts_on(history, date(2024, 1, 1)) == Facts()
    assert facts_on(history, date(2027, 1, 1)).integrity == "flagged"


def test_options_of_programmes() -> None:
    both = (OPEN, CHENGDU)
    found = terms_for(both, "b", GOOD, NOON, partner_of=("open-example", "chengdu-2023"))
    assert [[part.programme for part in option.components] for option in found] == [["chengdu-2023"], ["open-example"]]
    assert terms_for(both, "b", GOOD, NOON, partner_of=()) == ()


def test_programmes_that_stack_make_options_together_under_their_ceiling() -> None:
    one = OPEN.model_copy(update={"stacks_with": ("chengdu-2023",), "stacking_ceiling": "0.6"})
    other = CHENGDU.model_copy(update={"stacks_with": ("open-example",)})
    found = terms_for((one, other), "b", GOOD, NOON, partner_of=("open-example", "chengdu-2023"))
    assert [(option.ceiling_ppm, len(option.components)) for option in found] == [(None, 1), (None, 1), (600_000, 2)]
    # One alone saying so isn't enough.
    assert len(terms_for((one, CHENGDU), "b", GOOD, NOON, partner_of=("open-example", "chengdu-2023"))) == 2
