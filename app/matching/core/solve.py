"""Solve: Instance + SolverConfig → Outcome, by the method that the configuration names."""

import time
from collections.abc import Callable

from app.matching.core.assemble import ended, finished, matches_of
from app.matching.core.clear import Best, find_prices, first_come, rank_of, run_clear
from app.matching.core.columns import Columns, build_columns
from app.matching.core.config import Method, Objective, SolverConfig
from app.matching.core.cpsat import build_model, solve_model, surplus_scale
from app.matching.core.instance import Instance
from app.matching.core.outcome import Outcome, Status
from app.matching.core.pins import PinConflictError, PinsUndecidedError, place_pins
from app.matching.core.plan import Plan
from app.matching.core.prices import integer_duals
from app.matching.core.watch import CancelledError, Report, Watch

# What the certificate of a method that needs no prices itself may cost: a share of the limit.
CERTIFICATE_SHARE = 0.5
# Counted, so that it reproduces; the passes end sooner on all but very large markets.
CERTIFICATE_WORK = 20_000


def solve(
    instance: Instance,
    config: SolverConfig,
    *,
    progress: Callable[[Report], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Clear a market.

    Args:
        instance: The market.
        config: How to clear it, and the limit on time or work.
        progress: Told where the run is, often.
        cancelled: Asked often whether to stop.
        clock: Seconds that only grow.

    Returns:
        The outcome; `infeasible`, `timeout` and `cancelled` are outcomes without matches, never empty successes.

    Raises:
        InstanceError: if the configuration doesn't fit the instance or a limit is passed.
        ModelTooLargeError: if `cpsat` is asked for on what is too large for it.
    """
    watch = Watch(clock, seconds=config.time_limit_s, work=config.work_limit, progress=progress, cancelled=cancelled)
    columns = build_columns(instance, config)
    try:
        pinned = place_pins(columns)
        return _run(columns, pinned, watch)
    except PinConflictError as conflict:
        return ended(Status.INFEASIBLE, str(conflict))
    except PinsUndecidedError as error:
        return ended(Status.TIMEOUT, str(error))
    except CancelledError:
        return ended(Status.CANCELLED, "the run was cancelled")


def _run(columns: Columns, pinned: Plan, watch: Watch) -> Outcome:
    match columns.config.method:
        case Method.FCFS:
            best = first_come(columns, pinned)
            search = find_prices(columns, watch, CERTIFICATE_SHARE, best)
            return finished(columns, best.matches, integer_duals(columns, search.rows, search.best), proved=False)
        case Method.CPSAT:
            return _run_cpsat(columns, watch)
        case Method.CLEAR:
            best, duals, proved, own = run_clear(columns, pinned, watch)
            return finished(columns, best.matches, duals, proved=proved, solver_bound_fen=own)


def _run_cpsat(columns: Columns, watch: Watch) -> Outcome:
    """Solve the direct model alone; the certificate's prices come afterwards and don't help it."""
    config = columns.config
    direct = build_model(columns, range(len(columns.instance.requests)))
    seconds, work = watch.left(1.0)

    def tell(best: float, bound: float) -> bool:
        scale = surplus_scale(columns)[0] if config.objective is Objective.SURPLUS else 1
        watch.tell("cp-sat", int(best) // scale, bound / scale)
        return watch.cancelled()

    solved = solve_model(
        direct,
        seconds=seconds,
        deterministic=work,
        workers=1 if work is not None else config.workers,
        seed=config.seed,
        tell=tell,
    )
    if watch.cancelled():
        raise CancelledError
    if solved.plan is None:
        return ended(Status.TIMEOUT, "CP-SAT found no solution in time")
    best = Best(columns, matches_of(columns, solved.plan), solved.plan, (0,))
    best.key = rank_of(columns, best.matches)
    best.offer(solved.plan)
    search = find_prices(
        columns, Watch(time.monotonic, seconds=None, work=CERTIFICATE_WORK, progress=None, cancelled=None), 1.0, None
    )
    scale = surplus_scale(columns)[0] if config.objective is Objective.SURPLUS else 1
    own = None if solved.bound is None else -(-solved.bound // scale)
    return finished(
        columns,
        best.matches,
        integer_duals(columns, search.rows, search.best),
        proved=solved.proved,
        solver_bound_fen=own,
    )
