"""The instance: it sorts itself, refuses what is inconsistent or too large, and survives JSON."""

import json
import random
from dataclasses import replace
from typing import Any

import pytest

from app.matching.core.codec import canonical_json, instance_from_json, instance_sha256
from app.matching.core.instance import Alternative, Budget, Instance
from app.matching.core.limits import InstanceError
from tests.matching.core.markets import T0, market, offer, option, random_market, request


def test_order_of_rows_never_matters() -> None:
    instance, _ = random_market(5)
    dice = random.Random(1)

    def shuffled(rows: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(dice.sample(rows, len(rows)))

    other = Instance(
        shuffled(instance.chips),
        shuffled(instance.offers),
        shuffled(instance.requests),
        shuffled(instance.budgets),
        shuffled(instance.options),
    )
    assert other == instance
    assert instance_sha256(other) == instance_sha256(instance)


@pytest.mark.parametrize("seed", range(20))
def test_json_round_trip(seed: int) -> None:
    instance, _ = random_market(seed)
    assert instance_from_json(json.loads(canonical_json(instance))) == instance


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: market([offer(), offer()], []), "duplicate_ref"),
        (lambda: market([offer(chip="nothing")], []), "unknown_chip"),
        (lambda: market([offer(price=-1)], []), "limit_price_fen"),
        (lambda: market([offer(cards=100_001)], []), "limit_cards"),
        (lambda: market([offer(steps=((T0, 1),))], []), "steps_open_ended"),
        (lambda: market([offer(steps=((T0, 1), (T0, 0)))], []), "steps_not_ascending"),
        (lambda: market([], [request(blocks=2, min_blocks=3)]), "limit_min_blocks"),
        (lambda: market([], [request(weight=0)]), "limit_weight"),
        (lambda: market([], [request(chips="A100|")]), "bad_chips"),
        (lambda: market([], [request(hours=20_001)]), "limit_hours"),
        (
            lambda: market([], [request(weight=1000, alternatives=(Alternative("any", 1, 1, 10**15, 1),))]),
            "limit_weighted_value_fen",
        ),
        (lambda: market([], [request(alternatives=(Alternative("any", 1, 1, 5, 6),))]), "limit_value_fen"),
        (lambda: market([], [], (option(),)), "unknown_budget"),
        (lambda: market([], [], (option(rate=1_000_001),), {"p/pool/2026": 1}), "limit_rate_ppm"),
        (lambda: market([], [request(submitted_at=request().submitted_at.replace(tzinfo=None))]), "naive_time"),
    ],
)
def test_what_is_refused(make: Any, code: str) -> None:
    with pytest.raises(InstanceError) as caught:
        make()
    assert caught.value.code == code


def test_the_promised_sizes_are_admitted() -> None:
    market([offer(cards=100_000, hours=20_000)], [request(cards=100_000, hours=20_000, most=100)])
    assert len(market([offer(f"o{i}") for i in range(5_000)], []).offers) == 5_000


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        (("offers", 0, "price_fen"), 1.5, "wrong_type"),
        (("offers", 0, "price_fen"), True, "wrong_type"),
        (("offers", 0, "surprise"), 1, "wrong_key"),
        (("requests", 0, "submitted_at"), "2026-01-01", "bad_time"),
        (("offers", 0, "steps"), [[1]], "wrong_type"),
        (("format",), "other", "unknown_format"),
        (("offers",), {}, "not_a_list"),
    ],
)
def test_json_of_another_shape_is_refused(path: tuple[Any, ...], value: object, code: str) -> None:
    data: Any = json.loads(canonical_json(market([offer()], [request()])))
    at = data
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    with pytest.raises(InstanceError) as caught:
        instance_from_json(data)
    assert caught.value.code == code


def test_a_frozen_value() -> None:
    instance = market([offer()], [])
    assert replace(instance, budgets=(Budget("b", 1), Budget("a", 2))).budgets == (Budget("a", 2), Budget("b", 1))
