"""A brute-force oracle: every way to place every block, written without the engine's code.

It shares the input types with the engine and nothing else: it works on plain integers and tuples.
"""

from itertools import product

from app.matching.core.config import Objective, SolverConfig
from app.matching.core.instance import Alternative, Chip, Instance, Offer, Request

M = 1_000_000
Column = tuple[int, int, int, int, int, int, int]  # request, offer, start, cards, hours, cost, alternative


def _accepts(chips: str, chip: Chip) -> bool:
    for term in chips.split("|"):
        if term in {"any", chip.name} or (term == "domestic" and chip.domestic):
            return True
        if term.startswith("class:") and term[6:] == chip.chip_class:
            return True
    return False


def _capacity(offer: Offer, hour: int) -> int:
    cards = 0
    for at, level in offer.steps:
        if at <= hour:
            cards = level
    return cards


def _columns(instance: Instance, config: SolverConfig, q: int, request: Request) -> list[Column]:
    chips = {chip.name: chip for chip in instance.chips}
    banned = {(pair.request, pair.offer) for pair in config.forbids}
    found: list[Column] = []
    for a, alternative in enumerate(request.alternatives):
        for o, offer in enumerate(instance.offers):
            if (request.ref, offer.ref) in banned or not _accepts(alternative.chips, chips[offer.chip]):
                continue
            if request.site.regions and offer.region not in request.site.regions:
                continue
            for start in range(request.earliest_hour, request.deadline_hour - alternative.hours + 1):
                if all(_capacity(offer, t) >= alternative.cards for t in range(start, start + alternative.hours)):
                    cost = offer.price_fen * alternative.cards * alternative.hours
                    found.append((q, o, start, alternative.cards, alternative.hours, cost, a))
    return found


class Oracle:
    """The greatest value of the objective's stages over all outcomes; `None` where the pins can't hold."""

    def __init__(self, instance: Instance, config: SolverConfig) -> None:
        self.instance = instance
        self.config = config
        self.capacity = {
            (o, t): _capacity(offer, t)
            for o, offer in enumerate(instance.offers)
            for t in range(offer.steps[0][0], offer.steps[-1][0])
        }
        self.limits = {budget.name: budget.limit_fen for budget in instance.budgets}
        total = sum(r.blocks * r.alternatives[0].cards * r.alternatives[0].hours for r in instance.requests)
        self.shares = {share.name: share.share_ppm * total // M for share in config.shares}
        self.columns = [_columns(instance, config, q, r) for q, r in enumerate(instance.requests)]
        self.most = [
            r.blocks * max([0, *(self._first(c, self._full(c)) for c in self.columns[q])])
            for q, r in enumerate(instance.requests)
        ]
        self.best: tuple[int, ...] | None = None

    def _alternative(self, column: Column) -> Alternative:
        return self.instance.requests[column[0]].alternatives[column[6]]

    def _first(self, column: Column, sigma: int) -> int:
        """The first stage's value of a column, in micro units."""
        request = self.instance.requests[column[0]]
        if self.config.objective is not Objective.SURPLUS:
            return request.weight * column[3] * column[4] * M
        value = self._alternative(column).value_fen
        return request.weight * (M * (value - column[5]) + (M - self.config.kappa_ppm) * sigma)

    def _options(self, column: Column) -> list[tuple[int, int, tuple[str, ...]]]:
        """(least, most, budgets) of each option of a column with one component."""
        buyer = self.instance.requests[column[0]].buyer
        kind = self.instance.offers[column[1]].subsidy_class
        found: list[tuple[int, int, tuple[str, ...]]] = []
        for option in self.instance.options:
            if (option.buyer, option.subsidy_class) == (buyer, kind):
                (part,) = option.components
                top = part.rate_ppm * column[5] // M
                top = top if part.cap_fen is None else min(top, part.cap_fen)
                found.append((part.min_fen, top, part.budgets))
        return found

    def _full(self, column: Column) -> int:
        return max([0, *(most for _, most, _ in self._options(column))])

    def solve(self) -> tuple[int, ...] | None:
        self._place(0, [], 0)
        return self.best

    def _place(self, q: int, chosen: list[Column], sure: int) -> None:
        if self.best is not None and self.best[0] * M > sure + sum(self.most[q:]) + M:
            return
        if q == len(self.instance.requests):
            self._leaf(chosen)
            return
        self._blocks(q, chosen, 0, 0, sure)

    def _blocks(self, q: int, chosen: list[Column], first: int, count: int, sure: int) -> None:
        """Choose the blocks of a request in ascending order of columns, so that no choice is made twice."""
        request = self.instance.requests[q]
        if count == 0 or count >= request.min_blocks:
            self._place(q + 1, chosen, sure)
        if count == request.blocks:
            return
        for index in range(first, len(self.columns[q])):
            column = self.columns[q][index]
            cells = [(column[1], t) for t in range(column[2], column[2] + column[4])]
            if any(self.capacity[cell] < column[3] for cell in cells):
                continue
            for cell in cells:
                self.capacity[cell] -= column[3]
            more = self._first(column, self._full(column))
            self._blocks(q, [*chosen, column], index, count + 1, sure + max(0, more))
            for cell in cells:
                self.capacity[cell] += column[3]

    def _leaf(self, chosen: list[Column]) -> None:
        if not self._pins_and_shares(chosen):
            return
        choices = [[None, *self._options(column)] for column in chosen]
        for picked in product(*choices):
            given = self._share_out(chosen, list(picked))
            if given is None:
                continue
            key = self._key(chosen, given)
            if self.best is None or key > self.best:
                self.best = key

    def _pins_and_shares(self, chosen: list[Column]) -> bool:
        requests, offers = self.instance.requests, self.instance.offers
        for pin in self.config.pins:
            if not any((requests[c[0]].ref, offers[c[1]].ref) == (pin.request, pin.offer) for c in chosen):
                return False
        for name, limit in self.shares.items():
            used = sum(
                c[3] * c[4]
                for c in chosen
                if name in {f"buyer/{requests[c[0]].buyer}", f"supplier/{offers[c[1]].supplier}"}
            )
            if used > limit:
                return False
        return True

    def _share_out(
        self, chosen: list[Column], picked: list[tuple[int, int, tuple[str, ...]] | None]
    ) -> list[int] | None:
        """Give each block what it needs, then the rest by weight (budgets are nested, so greedy is best)."""
        left = dict(self.limits)
        given: list[int] = []
        for column, option in zip(chosen, picked, strict=True):
            need = column[5] - self._alternative(column).max_net_fen
            if option is None:
                if need > 0:
                    return None
                given.append(0)
                continue
            least, most, budgets = option
            amount = max(0, need, least)
            if amount > most or any(left[name] < amount for name in budgets):
                return None
            for name in budgets:
                left[name] -= amount
            given.append(amount)
        if self.config.objective is Objective.THRIFT and not self._any_fixed():
            return given
        order = sorted(range(len(chosen)), key=lambda i: -self.instance.requests[chosen[i][0]].weight)
        for i in order:
            option = picked[i]
            if option is None:
                continue
            more = min([option[1] - given[i], *(left[name] for name in option[2])])
            given[i] += more
            for name in option[2]:
                left[name] -= more
        return given

    def _any_fixed(self) -> bool:
        return any(part.fixed for option in self.instance.options for part in option.components)

    def _key(self, chosen: list[Column], given: list[int]) -> tuple[int, ...]:
        requests = self.instance.requests
        surplus = (
            sum(
                requests[c[0]].weight
                * (M * (self._alternative(c).value_fen - c[5]) + (M - self.config.kappa_ppm) * sigma)
                for c, sigma in zip(chosen, given, strict=True)
            )
            // M
        )
        coverage = sum(requests[c[0]].weight * c[3] * c[4] for c in chosen)
        match self.config.objective:
            case Objective.SURPLUS:
                return (surplus,)
            case Objective.COVERAGE:
                return coverage, surplus
            case Objective.THRIFT:
                return coverage, -sum(given)


def optimum(instance: Instance, config: SolverConfig) -> tuple[int, ...] | None:
    """Return the best (first stage, second stage), the second negated for thrift; `None` if the pins contradict."""
    return Oracle(instance, config).solve()
