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
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.kit.money import cost_fen, floor_rate
from app.matching.core.acceptance import Acceptance
from app.matching.core.instance import Instance, Offer, Option, Request
from app.matching.core.quote import Choice, Profile, best_bundles, profile
from app.matching.files import default_as_of, instance_of, read_market
from app.matching.results import Result, read_result
from app.vouchers.programmes import load_programme

OPTIONS = 3


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
        self.options: dict[tuple[str, str], list[Option]] = defaultdict(list)
        for option in instance.options:
            self.options[option.buyer, option.subsidy_class].append(option)

    def quote(self, request: Request) -> int:
        """Return how many ways were found."""
        choices: list[Choice] = []
        for at, alternative in enumerate(request.alternatives):
            for index in self.acceptance.offers(request, alternative):
                offer = self.instance.offers[int(index)]
                cost = cost_fen(offer.price_fen, alternative.cards, alternative.hours)
                subsidy = self._subsidy(request, offer, cost)
                if cost - subsidy <= alternative.max_net_fen:
                    choices.append(
                        Choice(
                            offer.ref.encode(), at, alternative.cards, alternative.hours, request.earliest_hour,
                            request.deadline_hour, offer.price_fen, subsidy,
                        )
                    )  # fmt: skip
        free = {choice.offer: self.free[choice.offer] for choice in choices}
        return len(best_bundles(free, choices, blocks=request.blocks, limit=OPTIONS))

    def _subsidy(self, request: Request, offer: Offer, cost: int) -> int:
        best = 0
        for option in self.options.get((request.buyer, offer.subsidy_class), ()):
            total = 0
            for part in option.components:
                amount = min(floor_rate(part.rate_ppm, cost), *(self.left[name] for name in part.budgets))
                amount = amount if part.cap_fen is None else min(amount, part.cap_fen)
                total += amount if amount >= part.min_fen else 0
            best = max(best, total)
        return best


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
