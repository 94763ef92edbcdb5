"""The demo's second half: the sample market cleared as a whole, offline, beside first come, first served.

It runs in a process of its own while the buyers book, since the engine is compiled at its first use.
"""

from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from multiprocessing import get_context
from typing import Final, Self

from app.demo.generate import MARKET
from app.kit.time import parse_rfc3339
from app.matching.core.config import Method, SolverConfig
from app.matching.core.outcome import Change, Outcome, Unmatched
from app.matching.core.solve import solve
from app.matching.core.verify import verify
from app.matching.files import default_as_of, instance_of, read_market
from app.vouchers.programmes import load_programme

PROGRAMME: Final = "open-example"
# Work, not seconds: the same figures on every machine, in about three seconds once the engine is compiled.
_WORK: Final = 60
_EXAMPLES: Final = 3


@dataclass(frozen=True)
class Cleared:
    """Both outcomes, verified. `blocks` is how many the requests ask for, `pool_fen` what the programme may give."""

    first_come: Outcome
    clearing: Outcome
    blocks: int
    pool_fen: int

    def examples(self) -> list[Unmatched]:
        """Return unmatched requests of different reasons that a small change would bring in, the plainest first."""
        plainest = {"price": 0, "deadline": 1, "cards": 2}
        helped = [each for each in self.clearing.unmatched if each.changes]
        helped.sort(key=lambda each: (min(plainest.get(change.change, 9) for change in each.changes), each.request))
        by_code = {each.code: each for each in reversed(helped)}
        return sorted(by_code.values(), key=helped.index)[:_EXAMPLES]


def clear_sample() -> Cleared:
    """Clear the sample market by both methods and check what came of it."""
    market = read_market(MARKET)
    instance = instance_of(market, (load_programme(PROGRAMME, {}),), default_as_of(market), None)
    outcomes: list[Outcome] = []
    for method in (Method.FCFS, Method.CLEAR):
        config = SolverConfig(method=method, work_limit=_WORK)
        outcome = solve(instance, config)
        verify(instance, config, outcome)
        outcomes.append(outcome)
    return Cleared(
        *outcomes,
        blocks=sum(request.blocks for request in instance.requests),
        pool_fen=next(budget.limit_fen for budget in instance.budgets if "/pool/" in budget.name),
    )


class Clearing(AbstractContextManager["Clearing"]):
    """A clearing of the sample market under way beside everything else."""

    def __init__(self) -> None:
        """Start it."""
        self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        self._cleared: Future[Cleared] = self._pool.submit(clear_sample)

    def __enter__(self) -> Self:
        """Return itself; leaving ends the process."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """End the process."""
        self._pool.shutdown(cancel_futures=True)

    def result(self) -> Cleared:
        """Wait for the outcome."""
        return self._cleared.result()


def told(change: Change) -> str:
    """Return a change in words."""
    match change.change:
        case "price":
            words = f"pay {_cny(change.after)} instead of {_cny(change.before)} CNY per card-hour"
        case "deadline":
            words = f"wait until {_day(change.after)} instead of {_day(change.before)}"
        case "cards":
            words = f"take {change.after} cards instead of {change.before}"
        case _:
            words = f"accept {change.after} too"
    return f"on {change.offer}: {words}"


def _cny(fen: str | int) -> str:
    return f"{int(fen) / 100:.2f}"


def _day(moment: str | int) -> str:
    at: datetime = parse_rfc3339(str(moment))
    return at.strftime("%m-%d %H:%M")
