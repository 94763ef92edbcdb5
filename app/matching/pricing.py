"""The prices of a stored clearing: congestion by chip class, shadow prices of budgets, and who may see which.

Prices are marginal values of the whole market and carry nobody's name. Yet where hardly anybody bought, one could be
read as one buyer's limit; so parties see a class only if at least `LEAST_BUYERS` buyers were matched in it, and of the
budgets only the programmes' pools. The desk and auditors see all.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from app.accounts.callers import Caller
from app.kit.db import SYSTEM, Database, ReadSession
from app.matching.clearing_errors import NO_OUTCOME, UNKNOWN_CHIP
from app.matching.clearing_service import get_clearing
from app.matching.core.congestion import (
    ClassPrices,
    DayPrices,
    buyers_by_class,
    by_day,
    class_prices,
    find_classes,
    is_pool,
)
from app.matching.core.instance import Instance
from app.matching.core.outcome import BudgetUse
from app.matching.restoring import load_clearing
from app.matching.results import Result

LEAST_BUYERS: Final = 3
_KEPT: Final = 16


@dataclass(frozen=True)
class PriceBook:
    """What a clearing's duals say.

    `classes` has the class of each chip model on offer and of each class itself; in the `crowded` ones at least
    `LEAST_BUYERS` buyers were matched.
    """

    unit: str
    prices: tuple[ClassPrices, ...]
    budgets: tuple[BudgetUse, ...]
    classes: dict[str, str]
    crowded: frozenset[str]


# A clearing's outcome never changes, and each page of its prices would read the whole of it again.
_books: OrderedDict[UUID, PriceBook] = OrderedDict()


async def get_book(session: ReadSession, database: Database, caller: Caller, clearing_id: UUID) -> PriceBook:
    """Return the prices of a clearing that the caller may see.

    Raises:
        Problem: `not_found`, `no_outcome`.
    """
    clearing = await get_clearing(session, caller, clearing_id)
    if clearing_id not in _books:
        # The file has everybody's bids: parties never read it themselves.
        async with database.read(SYSTEM) as system:
            found = await load_clearing(system, clearing_id)
        if found is None:
            raise NO_OUTCOME.problem(state=clearing.state)
        _books[clearing_id] = await asyncio.to_thread(_book, *found)
        while len(_books) > _KEPT:
            _books.popitem(last=False)
    book = _books[clearing_id]
    if caller.reads_all:
        return book
    return PriceBook(
        book.unit,
        tuple(each for each in book.prices if each.name in book.crowded),
        tuple(use for use in book.budgets if is_pool(use.name)),
        book.classes,
        book.crowded,
    )


def _book(instance: Instance, result: Result) -> PriceBook:
    names = {offer.chip for offer in instance.offers}
    classes = {name: next(iter(find_classes(instance, [name]))) for name in names}
    prices = class_prices(instance, result.outcome)
    return PriceBook(
        unit=result.outcome.objectives[0].unit,
        prices=prices,
        budgets=tuple(sorted(result.outcome.budgets, key=lambda use: use.name)),
        classes=classes | {each.name: each.name for each in prices},
        crowded=frozenset(
            name for name, count in buyers_by_class(instance, result.outcome).items() if count >= LEAST_BUYERS
        ),
    )


def days(book: PriceBook, chips: Iterable[str], first: int | None, last: int | None) -> list[DayPrices]:
    """Return the prices of some classes (empty: all) in the hours [first, last), a row a class and day.

    Raises:
        Problem: `unknown_chip_on_offer`.
    """
    wanted: set[str] = set()
    for name in chips:
        if name not in book.classes:
            known = ", ".join(sorted(set(book.classes.values()))) or "none"
            raise UNKNOWN_CHIP.field("chip", name=name, known=known)
        wanted.add(book.classes[name])
    return [day for each in book.prices if not wanted or each.name in wanted for day in by_day(each, first, last)]
