"""The programmes' cases, worked by hand in golden/*.toml: amounts, clauses just met and just missed, redemptions."""

import tomllib
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from app.commands.explaining import read_buyer, read_contract, read_left, read_supplier
from app.kit.money import parse_cny
from app.vouchers.programmes import load_programme, shipped_programmes
from app.vouchers.rules import decide, redemption_fen
from app.vouchers.stacking import decide_together

GOLDEN = Path(__file__).parent / "golden"
NOW = datetime(2026, 11, 2, 4, tzinfo=UTC)


def cases() -> list[Any]:
    found: list[Any] = []
    for path in sorted(GOLDEN.glob("*.toml")):
        body = tomllib.loads(path.read_text(encoding="utf-8"))
        shared = {key: value for key, value in body.items() if key != "cases"}
        found += [pytest.param(shared | case, id=f"{path.stem}: {case['name']}") for case in body["cases"]]
    return found


def test_every_shipped_programme_has_golden_cases() -> None:
    assert [path.stem for path in sorted(GOLDEN.glob("*.toml"))] == shipped_programmes()


@pytest.mark.parametrize("case", cases())
def test_golden(case: dict[str, Any]) -> None:
    programme = load_programme(case["programme"])
    buyer, contract = read_buyer(case["buyer"]), read_contract(case["contract"], NOW)
    supplier = read_supplier(case.get("supplier", "partner=yes"), [programme])
    left = read_left(case.get("left"), [programme]).get(programme.id)
    found = decide(programme, contract, buyer, supplier, left)
    assert found.amount_fen == parse_cny(case["amount"])
    assert list(found.best.unmet) == case.get("unmet", [])
    assert found.best.tier == case.get("tier", found.best.tier)
    assert len(found.desk_checks) == case.get("desk_checks", 0)
    bases = list(accumulate(parse_cny(each) for each in case.get("settlements", [])))
    redeemed: list[int] = []
    for base in bases:
        redeemed.append(redemption_fen(found.best.rate_ppm, base, sum(redeemed), found.amount_fen))
    assert redeemed == [parse_cny(each) for each in case.get("redeemed", [])]
    if "with" in case:
        other = load_programme(case["with"])
        supplier = read_supplier("partner=yes", [programme, other])
        choices = decide_together([programme, other], contract, buyer, supplier)
        both = next(each for each in choices if len(each.programmes) > 1)
        amounts = [decision.amount_fen for decision in both.decisions]
        assert amounts == [parse_cny(each) for each in case["together"]]
        assert choices[0].amount_fen == max(sum(amounts) if all(amounts) else 0, found.amount_fen)
