"""Tiny markets for the tests of the engine: builders with plain defaults, and a seeded random market."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from app.matching.core.config import Forbid, Objective, Pin, Share, SolverConfig
from app.matching.core.instance import (
    ANYWHERE,
    Alternative,
    Budget,
    Chip,
    Component,
    Instance,
    Offer,
    Option,
    Request,
    Site,
)

T0 = 500_000
SUBMITTED = datetime(2026, 11, 1, tzinfo=UTC)


def chip(name: str = "A100", chip_class: str | None = "A-class", domestic: bool | None = False) -> Chip:
    return Chip(name, chip_class, domestic, 80_000, 312_000)


def offer(ref: str = "o1", cards: int = 8, price: int = 100, hours: int = 10, **changed: object) -> Offer:
    steps = ((T0, cards), (T0 + hours, 0))
    base = Offer(ref, "s1", "north", "A100", 8, 100, price, price, "partner", steps)
    return replace(base, **changed)  # type: ignore[arg-type]


def request(
    ref: str = "q1",
    cards: int = 4,
    hours: int = 2,
    most: int = 150,
    window: tuple[int, int] = (0, 10),
    **changed: object,
) -> Request:
    """`most` is fen per card-hour."""
    alternative = Alternative("any", cards, hours, most * cards * hours, most * cards * hours)
    chips = changed.pop("chips", None)
    if isinstance(chips, str):
        alternative = replace(alternative, chips=chips)
    base = Request(ref, "b1", SUBMITTED, 1, 1, 1, T0 + window[0], T0 + window[1], (alternative,), ANYWHERE)
    return replace(base, **changed)  # type: ignore[arg-type]


def option(
    buyer: str = "b1", rate: int = 500_000, least: int = 0, cap: int | None = None, fixed: bool = False,
    budgets: tuple[str, ...] = ("p/pool/2026",),
) -> Option:  # fmt: skip
    return Option(buyer, "partner", None, (Component("p", "general", rate, least, cap, fixed, budgets),))


def market(
    offers: list[Offer],
    requests: list[Request],
    options: tuple[Option, ...] = (),
    budgets: dict[str, int] | None = None,
) -> Instance:
    chips = {chip(): None, chip("H20", "H-class"): None, chip("910B", "A-class", True): None}
    kept = tuple(budgets.items()) if budgets is not None else ()
    return Instance(
        tuple(chips), tuple(offers), tuple(requests), tuple(Budget(name, limit) for name, limit in kept), options
    )


def random_market(seed: int, most_requests: int = 5) -> tuple[Instance, SolverConfig]:
    """A small market with a bit of everything: blocks, subsidies of each kind, caps, shares, pins, forbids."""
    dice = random.Random(seed)
    horizon = dice.randrange(3, 7)
    offers = [
        Offer(
            f"o{i}", f"s{i % 2}", dice.choice(["north", "south"]), dice.choice(["A100", "H20", "910B"]), 8, 100,
            dice.randrange(50, 150), 200, dice.choice(["partner", "none"]), _steps(dice, horizon),
        )
        for i in range(dice.randrange(1, 4))
    ]  # fmt: skip
    requests = [_random_request(dice, i, horizon) for i in range(dice.randrange(1, most_requests + 1))]
    options, budgets = _random_subsidies(dice)
    instance = market(offers, requests, options, budgets)
    return instance, _random_config(dice, instance)


def _steps(dice: random.Random, horizon: int) -> tuple[tuple[int, int], ...]:
    edges = sorted(dice.sample(range(horizon), dice.randrange(1, 3)))
    return (*((T0 + edge, dice.randrange(1, 9)) for edge in edges), (T0 + horizon + dice.randrange(0, 2), 0))


def _random_request(dice: random.Random, number: int, horizon: int) -> Request:
    start = dice.randrange(horizon)
    blocks = dice.choice([1, 1, 1, 2, 3])
    alternatives: list[Alternative] = []
    for _ in range(dice.choice([1, 1, 2])):
        cards, hours = dice.randrange(1, 7), dice.randrange(1, 4)
        most = dice.randrange(20, 160) * cards * hours
        value = most if dice.random() < 0.8 else most * 3 // 4
        alternatives.append(
            Alternative(dice.choice(["any", "any", "domestic", "A100|H20", "class:A-class"]), cards, hours, most, value)
        )
    site = ANYWHERE if dice.random() < 0.8 else Site(regions=("north",))
    return Request(
        f"q{number}", f"b{number % 2}", SUBMITTED + timedelta(hours=dice.randrange(5)), dice.choice([1, 1, 2, 3]),
        blocks, dice.randrange(1, blocks + 1), T0 + start, T0 + min(horizon + 1, start + dice.randrange(1, 6)),
        tuple(alternatives), site,
    )  # fmt: skip


def _random_subsidies(dice: random.Random) -> tuple[tuple[Option, ...], dict[str, int]]:
    if dice.random() < 0.3:
        return (), {}
    rate, least = dice.choice([300_000, 500_000]), dice.choice([0, 0, 60])
    cap, fixed = dice.choice([None, None, 200]), dice.random() < 0.4
    budgets = {"p/pool/2026": dice.randrange(0, 1200)}
    options: list[Option] = []
    for buyer in ("b0", "b1"):
        names = ["p/pool/2026"]
        if dice.random() < 0.5:
            names.append(f"p/buyer/{buyer}/2026")
            budgets[names[-1]] = dice.randrange(0, 500)
        options.append(option(buyer, rate, least, cap, fixed, tuple(names)))
    return tuple(options), budgets


def _random_config(dice: random.Random, instance: Instance) -> SolverConfig:
    refs, offers = [item.ref for item in instance.requests], [item.ref for item in instance.offers]
    pins = (Pin(dice.choice(refs), dice.choice(offers)),) if dice.random() < 0.2 else ()
    forbids = (Forbid(dice.choice(refs), dice.choice(offers)),) if dice.random() < 0.3 else ()
    share = dice.choice(["buyer/" + instance.requests[0].buyer, "supplier/" + instance.offers[0].supplier])
    return SolverConfig(
        objective=dice.choice([Objective.SURPLUS, Objective.SURPLUS, Objective.COVERAGE, Objective.THRIFT]),
        kappa_ppm=dice.choice([0, 0, 0, 300_000]),
        pins=pins,
        forbids=tuple(
            pair for pair in forbids if not pins or (pair.request, pair.offer) != (pins[0].request, pins[0].offer)
        ),
        shares=(Share(share, dice.randrange(200_000, 900_000)),) if dice.random() < 0.3 else (),
        work_limit=2,
    )
