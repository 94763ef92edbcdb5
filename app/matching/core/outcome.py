"""What a clearing decided, with the certificate that bounds how much better any other could be."""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]


class Status(StrEnum):
    """How a run ended."""

    OPTIMAL = "optimal"
    FEASIBLE = "feasible"
    INFEASIBLE = "infeasible"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Subsidy:
    """An amount > 0 of one programme tier."""

    programme: str
    tier: str
    amount_fen: int


@dataclass(frozen=True, slots=True)
class Match:
    """One block given to an offer. `alternative` is the position in the request's list."""

    request: str
    block: int
    alternative: int
    offer: str
    start_hour: int
    hours: int
    cards: int
    cost_fen: int
    subsidies: tuple[Subsidy, ...]
    surplus_fen: int

    @property
    def subsidy_fen(self) -> int:
        """All subsidies together."""
        return sum(subsidy.amount_fen for subsidy in self.subsidies)

    @property
    def net_fen(self) -> int:
        """What the buyer pays."""
        return self.cost_fen - self.subsidy_fen


@dataclass(frozen=True, slots=True)
class CapacityDual:
    """Prices of one capacity row: λ in micro-objective-fen per unit of ⌊n·a/b⌋ and hour, from `first_hour` on."""

    offer: str
    a: int
    b: int
    first_hour: int
    prices: I64


@dataclass(frozen=True, slots=True)
class Duals:
    """Integer prices ≥ 0: capacity rows, budgets (per fen) and share rows (per card-hour)."""

    capacity: tuple[CapacityDual, ...] = ()
    budgets: dict[str, int] = field(default_factory=dict[str, int])
    shares: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class Stage:
    """One objective of a lexicographic list; `bound` is certified for the first only."""

    name: str
    unit: str
    value: int
    bound: int | None


@dataclass(frozen=True, slots=True)
class Change:
    """A smallest change that would let a request fit what is left, at this offer and start."""

    change: str
    before: str | int
    after: str | int
    offer: str
    start_hour: int


@dataclass(frozen=True, slots=True)
class Unmatched:
    """Why blocks of a request were not matched."""

    request: str
    blocks_unmatched: int
    code: str
    detail: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """What an outcome takes of a budget, and its shadow price in micro-objective-fen per fen."""

    name: str
    limit_fen: int
    used_fen: int
    shadow_price_micro: int


@dataclass(frozen=True)
class Outcome:
    """The result of a run: matches, certificate, explanations.

    `objective_fen`, `bound_fen` and `objectives` are `None` and empty where there is no verified outcome
    (`infeasible`, `timeout`, `cancelled`, `failed`); `detail` then says why, for pins the conflict.
    """

    status: Status
    detail: str | None
    matches: tuple[Match, ...]
    objective_fen: int | None
    bound_fen: int | None
    solver_bound_fen: int | None
    objectives: tuple[Stage, ...]
    duals: Duals
    unmatched: tuple[Unmatched, ...]
    budgets: tuple[BudgetUse, ...]

    @property
    def gap(self) -> float | None:
        """(bound − objective) / bound, 0 where the bound is 0."""
        if self.bound_fen is None or self.objective_fen is None:
            return None
        return 0.0 if self.bound_fen == 0 else (self.bound_fen - self.objective_fen) / self.bound_fen
