from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from app.catalog.schemas import ChipIn, OfferIn
from app.catalog.selectors import ChipFacts
from app.demand.models import Alternative, ComputeRequest
from app.demand.schemas import RequestIn
from app.demand.spec import SiteRules, spec_of, whole_hours
from app.kit.ids import new_id
from app.kit.schemas import Input

OFFER: dict[str, Any] = {
    "region": "北京",
    "supplier": "s",
    "interconnect_gbps": 200,
    "cards_per_node": 8,
    "domestic": True,
}


def test_a_spec_is_what_the_row_says_in_whole_hours() -> None:
    start, end = datetime(2026, 12, 1, 0, 30, tzinfo=UTC), datetime(2026, 12, 9, tzinfo=UTC)
    row = ComputeRequest(
        id=new_id(),
        buyer_org_id=new_id(),
        submitted_at=start,
        earliest_start=start,
        deadline=end,
        blocks=4,
        min_blocks=2,
        priority=3,
        regions=["北京", "北京"],
        suppliers_allowed=["a"],
        suppliers_refused=["b"],
        min_interconnect_gbps=100,
        min_cards_per_node=4,
        domestic=True,
    )
    row.alternatives = [
        Alternative(
            position=0,
            chips="domestic | X",
            min_memory_gb=Decimal(40),
            cards=8,
            hours=Decimal("7.01"),
            max_net_price_fen=900,
        )
    ]
    spec = spec_of(row)
    assert (spec.id, spec.buyer_org_id, spec.submitted_at) == (row.id, row.buyer_org_id, start)
    assert (spec.earliest_start, spec.deadline) == (start, end)
    assert (spec.blocks, spec.min_blocks, spec.priority) == (4, 2, 3)
    assert spec.site == SiteRules(frozenset({"北京"}), frozenset({"a"}), frozenset({"b"}), 100, 4, domestic=True)
    [alternative] = spec.alternatives
    assert (alternative.position, alternative.cards, alternative.hours) == (0, 8, 8)
    assert alternative.max_net_price_fen == 900
    assert alternative.selector.accepts(ChipFacts("X", memory_gb=Decimal(40)))
    assert not alternative.selector.accepts(ChipFacts("X", memory_gb=Decimal(39)))
    assert hash(spec) == hash(spec_of(row))


@pytest.mark.parametrize(("hours", "whole"), [("0.000001", 1), ("1", 1), ("1.000", 1), ("1.0001", 2), ("20000", 20000)])
def test_hours_round_up(hours: str, whole: int) -> None:
    assert whole_hours(Decimal(hours)) == whole


@pytest.mark.parametrize(
    ("rules", "offer"),
    [
        ({"regions": frozenset({"北京"})}, {"region": "上海"}),
        ({"suppliers_allowed": frozenset({"s"})}, {"supplier": "t"}),
        ({"suppliers_refused": frozenset({"t"})}, {"supplier": "t"}),
        ({"min_interconnect_gbps": 200}, {"interconnect_gbps": 199}),
        ({"min_interconnect_gbps": 0}, {"interconnect_gbps": None}),
        ({"min_cards_per_node": 8}, {"cards_per_node": 7}),
        ({"domestic": True}, {"domestic": False}),
        ({"domestic": True}, {"domestic": None}),
    ],
)
def test_each_site_rule_alone(rules: dict[str, Any], offer: dict[str, Any]) -> None:
    assert SiteRules(**rules).accepts(**OFFER)
    assert not SiteRules(**rules).accepts(**OFFER | offer)
    assert SiteRules().accepts(**OFFER | offer)


OTHER: dict[str, Any] = {"domestic": False}


def test_not_domestic_is_a_rule_too() -> None:
    assert not SiteRules(domestic=False).accepts(**OFFER)
    assert SiteRules(domestic=False).accepts(**(OFFER | OTHER))


@pytest.mark.parametrize("model", [RequestIn, OfferIn, ChipIn])
def test_the_examples_in_the_documentation_are_valid(model: type[Input]) -> None:
    examples: Any = model.model_config.get("json_schema_extra")
    for example in examples["examples"]:
        assert model.model_validate(example)
