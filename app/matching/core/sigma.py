"""Subsidy amounts of one block: which σ are allowed, and the best of them, compiled.

An option's components take m_c ≤ σ_c ≤ min(⌊rate_c·C⌋, cap_c, what is left of each budget of c), together at most
⌊ceiling·C⌋ and at least C − max_net. A `fixed` component takes its maximum; where a budget is short, all that is left.
"""

# NumPy's stubs type an element read at an untyped index as an array; compiled code reads scalars.
# pyright: reportArgumentType=false, reportReturnType=false

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from app.kit.money import PPM
from app.matching.core import limits
from app.matching.core.compiled import lean
from app.matching.core.instance import Option

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

WIDTH: Final = 4
NO_OPTION: Final = -1
NO_CAP: Final = 2**62
NOTHING_ALLOWED: Final = -2


class Terms(NamedTuple):
    """Options and their components as arrays; `component_ptr[u]:component_ptr[u+1]` are those of option u."""

    component_ptr: I32
    ceiling_ppm: I64
    rate_ppm: I64
    min_fen: I64
    cap_fen: I64
    from_fen: I64
    to_fen: I64
    fixed: npt.NDArray[np.bool_]
    budget_ptr: I32
    budget: I32


def compile_terms(options: Iterable[Option], budget_index: Mapping[str, int]) -> Terms:
    """Return options as arrays, in their order; `budget_index` numbers the budgets that they name."""
    component_ptr, ceilings, budget_ptr, budgets = [0], list[int](), [0], list[int]()
    rates, least, caps, fixed = list[int](), list[int](), list[int](), list[bool]()
    begins, ends = list[int](), list[int]()
    for option in options:
        ceilings.append(PPM if option.ceiling_ppm is None else option.ceiling_ppm)
        for component in option.components:
            rates.append(component.rate_ppm)
            least.append(component.min_fen)
            caps.append(limits.MAX_BUDGET_FEN if component.cap_fen is None else component.cap_fen)
            begins.append(component.from_fen)
            ends.append(limits.MAX_BUDGET_FEN if component.to_fen is None else component.to_fen)
            fixed.append(component.fixed)
            budgets.extend(budget_index[name] for name in component.budgets)
            budget_ptr.append(len(budgets))
        component_ptr.append(len(rates))
    return Terms(
        component_ptr=np.array(component_ptr, dtype=np.int32),
        ceiling_ppm=np.array(ceilings, dtype=np.int64),
        rate_ppm=np.array(rates, dtype=np.int64),
        min_fen=np.array(least, dtype=np.int64),
        cap_fen=np.array(caps, dtype=np.int64),
        from_fen=np.array(begins, dtype=np.int64),
        to_fen=np.array(ends, dtype=np.int64),
        fixed=np.array(fixed, dtype=np.bool_),
        budget_ptr=np.array(budget_ptr, dtype=np.int32),
        budget=np.array(budgets, dtype=np.int32),
    )


@lean
def set_amounts(target: I64, source: I64, count: int) -> None:
    """Set the first amounts to those of `source`, the rest to 0; a slice assignment would make an array."""
    for index in range(WIDTH):
        target[index] = source[index] if index < count else 0


@lean
def floor_rate(rate_ppm: int, amount: int) -> int:
    """Return ⌊rate·amount⌋ as `kit.money.floor_rate` does, without leaving 64 bits."""
    return rate_ppm * (amount // PPM) + rate_ppm * (amount % PPM) // PPM


@lean
def most(terms: Terms, component: int, cost: int, left: I64) -> int:
    """Return the largest σ of a component for a contract of `cost` fen with `left` fen in each budget.

    Below 0, and so below every minimum, where the component is not for contracts of this amount.
    """
    if cost < terms.from_fen[component] or cost > terms.to_fen[component]:
        return -1
    best = min(floor_rate(terms.rate_ppm[component], cost), terms.cap_fen[component])
    for index in range(terms.budget_ptr[component], terms.budget_ptr[component + 1]):
        best = min(best, left[terms.budget[index]])
    return best


@lean
def fill(
    terms: Terms,
    option: int,
    cost: int,
    need: int,
    left: I64,
    weights: tuple[float, float, float, float],
    strict: bool,
    sigma: I64,
) -> int:
    """Set `sigma` to the allowed amounts of an option with the greatest Σ weights·σ; return Σσ, or −1 if none is.

    `strict` holds `fixed` components at their maximum; the certificate relaxes that.
    """
    first = terms.component_ptr[option]
    count = terms.component_ptr[option + 1] - first
    ceiling = floor_rate(terms.ceiling_ppm[option], cost)
    total = 0
    for index in range(count):
        component = first + index
        high = most(terms, component, cost, left)
        low = terms.min_fen[component]
        if high < low:
            return -1
        if strict and terms.fixed[component]:
            low = min(high, max(low, ceiling - total))
        sigma[index] = low
        total += low
    if total > ceiling:
        return -1
    for stage in range(2):
        # First whatever gains, then whatever is still needed, each time the dearest component first.
        done = 0
        for _ in range(count):
            best = -1
            for index in range(count):
                if (done >> index) & 1 == 0 and (best < 0 or weights[index] > weights[best]):
                    best = index
            done |= 1 << best
            room = (ceiling if stage == 0 and weights[best] > 0 else max(total, min(ceiling, need))) - total
            if room > 0:
                more = min(room, most(terms, first + best, cost, left) - sigma[best])
                sigma[best] += more
                total += more
    return total if total >= need else -1


@lean
def unit_worth(terms: Terms, component: int, last: int, unit: float, mu: F64) -> float:
    """Return what a fen of a component is worth, unit − Σμ; 0 from component `last` on."""
    if component >= last:
        return 0.0
    worth = unit
    for index in range(terms.budget_ptr[component], terms.budget_ptr[component + 1]):
        worth -= mu[terms.budget[index]]
    return worth


@lean
def best_option(
    terms: Terms,
    low: int,
    high: int,
    cost: int,
    need: int,
    left: I64,
    unit: float,
    mu: F64,
    strict: bool,
    sigma: I64,
    scratch: I64,
) -> tuple[int, float]:
    """Choose among options low…high−1 and none; return (option, Σ (unit − Σμ)·σ) and set `sigma`.

    `need` is C − max_net. The option is `NO_OPTION` where none is taken, `NOTHING_ALLOWED` where none may be left out.
    """
    chosen = NOTHING_ALLOWED
    value = 0.0
    set_amounts(sigma, sigma, 0)
    if need <= 0:
        chosen = NO_OPTION
    for option in range(low, high):
        first = terms.component_ptr[option]
        last = terms.component_ptr[option + 1]
        # A tuple, as an array would be allocated anew for each pair.
        weights = (
            unit_worth(terms, first, last, unit, mu),
            unit_worth(terms, first + 1, last, unit, mu),
            unit_worth(terms, first + 2, last, unit, mu),
            unit_worth(terms, first + 3, last, unit, mu),
        )
        total = fill(terms, option, cost, need, left, weights, strict, scratch)
        if total < 0:
            continue
        gain = 0.0
        for index in range(last - first):
            gain += weights[index] * scratch[index]
        if chosen == NOTHING_ALLOWED or gain > value:
            chosen = option
            value = gain
            set_amounts(sigma, scratch, last - first)
    return chosen, value
