"""What-ifs of programmes on a stored instance: what follows from facts stays, the numbers change."""

from datetime import UTC, datetime

from app.matching.terms import Party, Reads, Seller, options_and_budgets, with_numbers
from app.vouchers.facts import Facts, SupplierFacts
from app.vouchers.programmes import load_programme, with_settings

NOW = datetime(2025, 6, 1, tzinfo=UTC)
CITY, NATION = load_programme("hangzhou-2025"), load_programme("national-smart")
PARTNER = SupplierFacts(partner_of=frozenset({"hangzhou-2025", "national-smart"}))
SME = Facts("sme", None, None, "clean", "none")


def test_other_numbers_keep_what_follows_from_facts() -> None:
    reads = Reads((CITY, NATION))
    sellers = {reads.subsidy_class(each): each for each in (Seller(PARTNER, True), Seller(PARTNER, False))}
    assert sorted(sellers) == ["hangzhou-2025+national-smart", "hangzhou-2025+national-smart|domestic"]
    party = Party("b", SME, reads.contract(NOW, hours=10, blocks=2, year_fen=100_000_00))
    name = reads.standing(party)
    assert name == "b|0 h|2 blocks|10000000 fen"
    options, budgets = options_and_budgets(reads, {name: party}, sellers)
    assert [budget.name for budget in budgets] == ["hangzhou-2025/buyer/b/2025"]
    same = with_numbers(options, budgets, (CITY, NATION), (CITY, NATION), {name: "b"}, NOW)
    assert same == (options, budgets)
    other = with_settings(CITY, {"general.rate": "0.25", "buyer_year_cny": "1000"})
    changed, left = with_numbers(options, budgets, (CITY, NATION), (other, NATION), {name: "b"}, NOW)
    assert [budget.limit_fen for budget in left] == [1_000_00]
    # By hand: (500 000 - 100 000) / 2 blocks = 200 000 is the last contract at an SME's 50 %.
    rates = {
        (option.subsidy_class, part.rate_ppm, part.from_fen, part.to_fen)
        for option in changed
        for part in option.components
        if part.programme == "hangzhou-2025" and len(option.components) == 1
    }
    plain, domestic = sorted(sellers)
    assert rates == {
        (plain, 500_000, 0, 200_000_00),
        (plain, 250_000, 200_000_01, None),
        (domestic, 500_000, 0, 200_000_00),
        (domestic, 300_000, 200_000_01, None),
    }
    assert {option.ceiling_ppm for option in changed if len(option.components) == 2} == {300_000, 600_000}


def test_terms_are_told_apart_by_the_limits_they_pass() -> None:
    reads = Reads((load_programme("suzhou-example"), load_programme("beijing-2023")))

    def hours(asked: int) -> int | None:
        return reads.contract(NOW, hours=asked).hours

    # 365 days are 8 760 h, 366 are 8 784 h: requests that pass the same limits share a standing.
    assert (hours(1), hours(8_760), hours(8_761), hours(8_784), hours(8_785), hours(20_000)) == (
        0, 0, 8_761, 8_761, 8_785, 8_785,
    )  # fmt: skip


def test_programmes_that_read_neither_leave_requests_alike() -> None:
    reads = Reads((load_programme("open-example"), load_programme("chengdu-2023")))
    party = Party("b", SME, reads.contract(NOW, hours=10_000, blocks=9, year_fen=5))
    assert reads.standing(party) == ""
    assert reads.subsidy_class(Seller(SupplierFacts(), True)) == "none"
