"""The three objectives, each a list of stages; every value exact.

`surplus`   Σ w·[(value − C) + (1 − κ)·Σσ], in fen rounded down.
`coverage`  Σ w·n·h served, then surplus.
`thrift`    coverage, then least Σσ.
"""

from collections.abc import Sequence

from app.kit.money import PPM
from app.matching.core.config import Objective, SolverConfig
from app.matching.core.instance import Instance
from app.matching.core.outcome import Match, Stage


def surplus_fen(instance: Instance, config: SolverConfig, matches: Sequence[Match]) -> int:
    """Return the weighted buyer surplus after subsidy, less κ of the subsidy, in fen rounded down."""
    micro = 0
    for match in matches:
        request = instance.requests[instance.request_index[match.request]]
        value = request.alternatives[match.alternative].value_fen
        micro += request.weight * (PPM * (value - match.cost_fen) + (PPM - config.kappa_ppm) * match.subsidy_fen)
    return micro // PPM


def weighted_card_hours(instance: Instance, matches: Sequence[Match]) -> int:
    """Return Σ w·n·h."""
    return sum(
        instance.requests[instance.request_index[match.request]].weight * match.cards * match.hours for match in matches
    )


def stages(instance: Instance, config: SolverConfig, matches: Sequence[Match], bound: int | None) -> tuple[Stage, ...]:
    """Return the objective's stages with their values; the bound belongs to the first."""
    surplus = surplus_fen(instance, config, matches)
    if config.objective is Objective.SURPLUS:
        return (Stage("surplus", "weighted_fen", surplus, bound),)
    coverage = Stage("coverage", "weighted_card_hours", weighted_card_hours(instance, matches), bound)
    if config.objective is Objective.COVERAGE:
        return coverage, Stage("surplus", "weighted_fen", surplus, None)
    return coverage, Stage("subsidy", "fen", sum(match.subsidy_fen for match in matches), None)


def rank(config: SolverConfig, values: tuple[Stage, ...]) -> tuple[int, ...]:
    """Return what compares two outcomes: the greater is the better."""
    if config.objective is Objective.THRIFT:
        return values[0].value, -values[1].value
    return tuple(stage.value for stage in values)


def enabled_card_hours(instance: Instance, matches: Sequence[Match]) -> int:
    """Return the card-hours matched only thanks to a subsidy."""
    return sum(match.cards * match.hours for match in matches if match.cost_fen > _most_net(instance, match))


def windfall_fen(instance: Instance, matches: Sequence[Match]) -> int:
    """Return the subsidy beyond what the matches needed, in fen."""
    return sum(match.subsidy_fen - max(0, match.cost_fen - _most_net(instance, match)) for match in matches)


def _most_net(instance: Instance, match: Match) -> int:
    request = instance.requests[instance.request_index[match.request]]
    return request.alternatives[match.alternative].max_net_fen
