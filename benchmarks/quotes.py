"""Quotes in process against what first come, first served leaves of a market; prints JSON.

python benchmarks/quotes.py MARKET RESULT [--set PROGRAMME.KEY=VALUE …] [--quotes 1000]

Each quote is the best three ways to place one request's blocks, net of what is left of its subsidies: acceptable
offers, earliest fit on each, the cheapest first.
"""

import argparse
import json
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.matching.core.acceptance import Acceptance
from app.matching.core.instance import Budget, Instance, Option, Request
from app.matching.core.quote import Choice, Profile, best_bundles, profile
from app.matching.core.subsidy import Purse, warm_up
from app.matching.files import default_as_of, instance_of, read_market
from app.matching.results import Result, read_result
from app.vouchers.programmes import load_programme

OPTIONS = 3


@dataclass(frozen=True, slots=True)
class Net:
    """Prices a request's choices with what its buyer's purse has left."""

    instance: Instance
    request: Request
    purse: Purse

    def price(self, choice: Choice) -> Choice | None:
        """Return a choice with the largest subsidy that is left for it, or None where it costs more than it may."""
        offer = self.instance.offers[self.instance.offer_index[choice.offer.decode()]]
        most = self.request.alternatives[choice.alternative].max_net_fen
        subsidies = self.purse.best(offer.subsidy_class, choice.cost_fen, most)
        return None if subsidies is None else replace(choice, subsidies=subsidies)

    def take(self, choice: Choice) -> None:
        """Draw a choice's subsidies."""
        self.purse.draw(choice.subsidies)

    def afresh(self) -> "Net":
        """Return another with the same left, to draw from."""
        return replace(self, purse=self.purse.copy())


class Desk:
    """What is free of a cleared market, ready for quotes."""

    def __init__(self, instance: Instance, result: Result) -> None:
        """Take the clearing's matches off the offers' capacity and the budgets."""
        self.instance = instance
        self.acceptance = Acceptance(instance)
        changes: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        for match in result.outcome.matches:
            changes[match.offer][match.start_hour] += match.cards
            changes[match.offer][match.start_hour + match.hours] -= match.cards
        self.free: dict[bytes, Profile] = {}
        for offer in instance.offers:
            used, levels = 0, list[tuple[int, int]]()
            for hour, change in sorted(changes[offer.ref].items()):
                used += change
                levels.append((hour, used))
            self.free[offer.ref.encode()] = profile(offer.steps, levels)
        self.left = {use.name: use.limit_fen - use.used_fen for use in result.outcome.budgets}
        self.options: dict[str, list[Option]] = defaultdict(list)
        for option in instance.options:
            self.options[option.buyer].append(option)

    def quote(self, request: Request) -> int:
        """Return how many ways were found."""
        net = Net(self.instance, request, self._purse(request.buyer))
        priced = (net.price(choice) for choice in self._choices(request))
        choices = [choice for choice in priced if choice is not None]
        free = {choice.offer: self.free[choice.offer] for choice in choices}
        return len(best_bundles(free, choices, blocks=request.blocks, limit=OPTIONS, pricing=net.afresh))

    def _choices(self, request: Request) -> Iterator[Choice]:
        for at, alternative in enumerate(request.alternatives):
            for index in self.acceptance.offers(request, alternative):
                offer = self.instance.offers[int(index)]
                yield Choice(
                    offer=offer.ref.encode(),
                    alternative=at,
                    cards=alternative.cards,
                    hours=alternative.hours,
                    low=request.earliest_hour,
                    high=request.deadline_hour,
                    price_fen=offer.price_fen,
                )

    def _purse(self, buyer: str) -> Purse:
        options = self.options[buyer]
        names = {name for option in options for component in option.components for name in component.budgets}
        return Purse.of(options, [Budget(name, self.left[name]) for name in sorted(names)])


def main() -> None:
    """Time quotes of requests drawn at random."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("market", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--quotes", type=int, default=1000)
    arguments = parser.parse_args()
    settings = {key.partition(".")[2]: value for key, _, value in (each.partition("=") for each in arguments.set)}
    market = read_market(arguments.market)
    instance = instance_of(market, (load_programme("open-example", settings),), default_as_of(market), None)
    desk = Desk(instance, read_result(arguments.result))
    warm_up()
    dice = random.Random(7)
    taken: list[float] = []
    found = 0
    for request in dice.choices(instance.requests, k=arguments.quotes):
        began = time.perf_counter()
        found += desk.quote(request) > 0
        taken.append((time.perf_counter() - began) * 1000)
    taken.sort()
    print(
        json.dumps(
            {
                "quotes": len(taken),
                "with_an_option": found,
                "median_ms": round(taken[len(taken) // 2], 3),
                "p99_ms": round(taken[int(len(taken) * 0.99)], 3),
                "slowest_ms": round(taken[-1], 3),
            }
        )
    )


if __name__ == "__main__":
    main()
