"""The pure search against a scan hour by hour."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from app.matching.core.instance import Budget, Component, Option
from app.matching.core.quote import (
    Choice,
    Placement,
    Profile,
    best_bundles,
    earliest_fit,
    fits,
    most_blocks,
    placements,
    profile,
)
from app.matching.core.subsidy import Purse, Subsidy

HOURS = 40
TIER = Component("p", "general", 500_000, 0, None, False, ("pool", "buyer"))
OFF_10 = Subsidy(TIER, 10)
steps_of = st.lists(st.tuples(st.integers(0, HOURS - 2), st.integers(0, 9)), max_size=5, unique_by=lambda s: s[0])
bookings_of = st.lists(st.tuples(st.integers(0, HOURS - 1), st.integers(1, 8), st.integers(1, 9)), max_size=6)


def scan(steps, bookings) -> list[int]:
    """Free cards at every hour."""
    free = [0] * (HOURS + 10)
    ordered = sorted(steps)
    for (start, cards), (end, _) in zip(ordered, [*ordered[1:], (HOURS + 10, 0)], strict=True):
        for hour in range(start, end):
            free[hour] = cards
    for start, hours, cards in bookings:
        for hour in range(start, start + hours):
            free[hour] -= cards
    return free


def usage(bookings) -> list[tuple[int, int]]:
    """What the bookings take together, as steps."""
    marks = sorted({mark for start, hours, _ in bookings for mark in (start, start + hours)})
    return [(mark, sum(c for start, hours, c in bookings if start <= mark < start + hours)) for mark in marks]


def closed(steps) -> list[tuple[int, int]]:
    return [*steps, (HOURS - 1, 0)]


@settings(max_examples=400, deadline=None)
@given(
    steps=steps_of,
    bookings=bookings_of,
    cards=st.integers(1, 9),
    hours=st.integers(1, 12),
    low=st.integers(0, HOURS),
    length=st.integers(0, HOURS),
)
def test_earliest_fit_is_that_of_a_scan(steps, bookings, cards, hours, low, length) -> None:
    high = min(low + length, HOURS)
    free = scan(closed(steps), bookings)
    found = earliest_fit(profile(closed(steps), usage(bookings)), cards, hours, low, high)
    expected = next(
        (
            start
            for start in range(low, high - hours + 1)
            if all(free[hour] >= cards for hour in range(start, start + hours))
        ),
        None,
    )
    assert found == expected


@settings(max_examples=200, deadline=None)
@given(steps=steps_of, bookings=bookings_of, start=st.integers(0, HOURS - 5), cards=st.integers(1, 5))
def test_profile_is_that_of_a_scan(steps, bookings, start, cards) -> None:
    free = scan(closed(steps), bookings)
    made = profile(closed(steps), usage(bookings))
    assert [made.at(hour) for hour in range(HOURS)] == free[:HOURS]
    assert made.most() == max([*free, *[0] * (not made.hours)])
    assert made.card_hours(3, 30) == sum(max(cards, 0) for cards in free[3:30])
    left = made.less(cards, start, 4)
    assert [left.at(hour) for hour in range(HOURS)] == [
        level - (cards if start <= hour < start + 4 else 0) for hour, level in enumerate(free[:HOURS])
    ]
    assert fits(made, cards, 4, start) == all(level >= cards for level in free[start : start + 4])


def test_a_window_is_taken_to_its_last_hour_and_no_further() -> None:
    made = profile([(10, 4), (20, 0)])
    assert earliest_fit(made, 4, 10, 0, 20) == 10
    assert earliest_fit(made, 4, 10, 0, 19) is None
    assert earliest_fit(made, 4, 11, 0, 100) is None
    assert earliest_fit(made, 5, 1, 0, 100) is None
    assert earliest_fit(made, 1, 1, 19, 20) == 19
    assert earliest_fit(Profile((), ()), 1, 1, 0, 10) is None


def choice(offer: bytes, price: int, *, cards: int = 1, hours: int = 2, low: int = 0, high: int = 10, **more) -> Choice:
    return Choice(offer, more.pop("alternative", 0), cards, hours, low, high, price, **more)


def test_order_is_net_cost_then_start_then_offer() -> None:
    profiles = {b"a": profile([(3, 1), (10, 0)]), b"b": profile([(0, 1), (10, 0)]), b"c": profile([(0, 1), (10, 0)])}
    dear = choice(b"a", 9)
    choices = [
        dear,
        choice(b"a", 7),
        choice(b"c", 7),
        choice(b"b", 7),
        choice(b"b", 9, alternative=1, subsidies=(OFF_10,)),
    ]
    ranked = placements(profiles, choices)
    assert [(p.choice.offer, p.start, p.choice.net_fen) for p in ranked] == [
        (b"b", 0, 8),
        (b"b", 0, 14),
        (b"c", 0, 14),
        (b"a", 3, 14),
        (b"a", 3, 18),
    ]
    assert ranked[-1] == Placement(dear, 3)


def test_blocks_share_what_is_left() -> None:
    profiles = {b"a": profile([(0, 1), (4, 0)]), b"b": profile([(0, 1), (2, 0)])}
    choices = [choice(b"a", 5), choice(b"b", 6)]
    bundles = best_bundles(profiles, choices, blocks=3, limit=5)
    assert [[(p.choice.offer, p.start) for p in bundle] for bundle in bundles] == [[(b"a", 0), (b"a", 2), (b"b", 0)]]
    assert best_bundles(profiles, choices, blocks=4, limit=5) == []
    assert most_blocks(profiles, choices, blocks=4) == 3
    assert most_blocks(profiles, [choice(b"b", 6, cards=2)], blocks=4) == 0


def test_options_differ_and_are_limited() -> None:
    profiles = {bytes([o]): profile([(0, 2), (10, 0)]) for o in range(6)}
    choices = [choice(bytes([o]), 5 + o) for o in range(6)]
    assert [b[0].choice.price_fen for b in best_bundles(profiles, choices, blocks=1, limit=4)] == [5, 6, 7, 8]
    pairs = best_bundles(profiles, choices, blocks=2, limit=3)
    assert [[p.choice.price_fen for p in bundle] for bundle in pairs] == [[5, 5], [6, 5], [7, 5]]


small_choice = st.builds(
    Choice,
    offer=st.sampled_from([b"a", b"b", b"c"]),
    alternative=st.just(0),
    cards=st.integers(1, 4),
    hours=st.integers(1, 4),
    low=st.integers(0, 4),
    high=st.integers(4, 10),
    price_fen=st.integers(1, 9),
)


@settings(max_examples=150, deadline=None)
@given(
    capacities=st.tuples(*[st.tuples(st.integers(0, 6), st.integers(0, 6))] * 3),
    choices=st.lists(small_choice, min_size=1, max_size=4, unique_by=lambda c: c.offer),
    blocks=st.integers(1, 3),
)
def test_bundles_hold_side_by_side_and_the_best_single_is_optimal(capacities, choices, blocks) -> None:
    levels = {
        offer: [first] * 5 + [second] * 5 for offer, (first, second) in zip([b"a", b"b", b"c"], capacities, strict=True)
    }
    profiles = {
        offer: profile([(0, first), (5, second), (10, 0)])
        for offer, (first, second) in zip([b"a", b"b", b"c"], capacities, strict=True)
    }
    bundles = best_bundles(profiles, choices, blocks=blocks, limit=5)
    assert len({tuple(sorted(p.rank for p in bundle)) for bundle in bundles}) == len(bundles)
    assert [sum(p.choice.net_fen for p in b) for b in bundles] == sorted(
        sum(p.choice.net_fen for p in b) for b in bundles
    )
    for bundle in bundles:
        assert len(bundle) == blocks
        left = {offer: list(level) for offer, level in levels.items()}
        for placed in bundle:
            wanted = placed.choice
            assert wanted.low <= placed.start
            assert placed.start + wanted.hours <= wanted.high
            for hour in range(placed.start, placed.start + wanted.hours):
                left[wanted.offer][hour] -= wanted.cards
        assert min(level for offer in left.values() for level in offer) >= 0
    if blocks == 1:
        scanned = [
            (c.net_fen, start, c.offer, c.alternative)
            for c in choices
            for start in range(c.low, c.high - c.hours + 1)
            if all(levels[c.offer][hour] >= c.cards for hour in range(start, start + c.hours))
        ]
        assert [bundle[0].rank for bundle in bundles[:1]] == sorted(scanned)[:1]


@settings(max_examples=50, deadline=None)
@given(order=st.permutations(range(4)))
def test_the_order_of_choices_changes_nothing(order) -> None:
    profiles = {bytes([o]): profile([(o, 3), (9, 0)]) for o in range(4)}
    choices = [choice(bytes([o]), 5 + o % 2) for o in range(4)]
    assert best_bundles(profiles, choices, blocks=2, limit=4) == best_bundles(
        profiles, [choices[i] for i in order], blocks=2, limit=4
    )


class Vouchers:
    """Half of what offers in `subsidised` cost, from two budgets; `most` is what a block may cost net."""

    def __init__(self, purse: Purse, subsidised: bytes, most: int | None = None) -> None:
        self.purse, self.subsidised, self.most = purse, subsidised, most

    def price(self, choice: Choice) -> Choice | None:
        kind = "partner" if choice.offer in self.subsidised else "none"
        found = self.purse.best(kind, choice.cost_fen, self.most)
        return None if found is None else replace(choice, subsidies=found)

    def take(self, choice: Choice) -> None:
        self.purse.draw(choice.subsidies)

    def copy(self) -> "Vouchers":
        return Vouchers(self.purse.copy(), self.subsidised, self.most)


def vouchers(pool: int, buyer: int, **more) -> Vouchers:
    options = [Option("b", "partner", None, (replace(TIER, **more),))]
    return Vouchers(Purse.of(options, [Budget("buyer", buyer), Budget("pool", pool)]), b"ab")


def bundled(pricing: Vouchers, choices, profiles, blocks) -> list[list[tuple[bytes, int]]]:
    priced = [found for each in choices if (found := pricing.price(each)) is not None]
    bundles = best_bundles(profiles, priced, blocks=blocks, limit=3, pricing=pricing.copy)
    return [[(p.choice.offer, p.choice.subsidy_fen) for p in bundle] for bundle in bundles]


def test_blocks_side_by_side_draw_on_the_same_budgets() -> None:
    profiles = {offer: profile([(0, 9), (10, 0)]) for offer in (b"a", b"b", b"c")}
    choices = [choice(b"a", 10), choice(b"b", 20), choice(b"c", 11)]
    # A block costs 20, 40 and 22: the first takes 10 of what is left, the next 5, and then c is the cheapest left.
    assert bundled(vouchers(100, 15), choices, profiles, 3)[0] == [(b"a", 10), (b"a", 5), (b"a", 0)]
    dear = [choice(b"a", 12), *choices[1:]]
    assert bundled(vouchers(12, 100), dear, profiles, 3)[0] == [(b"a", 12), (b"c", 0), (b"c", 0)]
    assert bundled(vouchers(0, 100), dear, profiles, 1) == [[(b"c", 0)], [(b"a", 0)], [(b"b", 0)]]


def test_a_block_that_its_budget_no_longer_brings_down_is_not_placed() -> None:
    profiles = {offer: profile([(0, 9), (10, 0)]) for offer in (b"a", b"b")}
    choices = [choice(b"a", 10), choice(b"b", 10)]
    pricing = vouchers(25, 100)
    pricing.most = 10
    assert bundled(pricing, choices, profiles, 2)[0] == [(b"a", 10), (b"a", 10)]
    assert bundled(pricing, choices, profiles, 3) == []
    priced = [found for each in choices if (found := pricing.price(each)) is not None]
    assert most_blocks(profiles, priced, blocks=3, pricing=pricing.copy) == 2


def test_amounts_are_those_of_the_columns() -> None:
    def taken(cost: int, most: int | None = None, pool: int = 100, **tier) -> int | None:
        found = vouchers(pool, 1000, **tier).purse.best("partner", cost, most)
        return None if found is None else sum(each.amount_fen for each in found)

    assert (taken(7), taken(7, most=4), taken(7, most=3)) == (3, 3, None)
    assert (taken(300), taken(300, most=200), taken(300, most=199)) == (100, 100, None)
    assert (taken(300, cap_fen=40), taken(60, min_fen=30), taken(59, min_fen=30)) == (40, 30, 0)
    assert (taken(59, min_fen=30, most=59), taken(59, min_fen=30, most=58)) == (0, None)
    assert (taken(60, fixed=True), taken(300, fixed=True), taken(0, fixed=True)) == (30, 100, 0)
    assert vouchers(9, 9).purse.best("none", 10, 10) == ()
    assert vouchers(9, 9).purse.best("none", 10, 9) is None
