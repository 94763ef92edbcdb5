"""A comparison of two clearings as JSON data: what `cardhour clear --against` and the service both tell."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final, cast

from app.matching.core.compare import (
    BudgetDifference,
    Comparison,
    Holding,
    MarketDifference,
    PartyDifference,
    RequestDifference,
    Side,
    compare,
)
from app.matching.core.instance import Instance
from app.matching.core.outcome import BudgetUse
from app.matching.results import Result, config_to_json

LISTED: Final = 1_000


def compare_results(here: tuple[Instance, Result], there: tuple[Instance, Result], most: int) -> dict[str, Any]:
    """Return how one clearing differs from another as JSON data; of each list the `most` largest differences.

    Args:
        here: The instance and result that gain or lose.
        there: What they are compared with.
        most: How long a list may be.
    """
    sides = [Side(instance, result.run.solver, result.outcome) for instance, result in (here, there)]
    found = compare(*sides)
    return {
        "this": _side(here[1], found.here),
        "other": _side(there[1], found.there),
        "same_instance": found.same_instance,
        "config": config_differences(config_to_json(here[1].run), config_to_json(there[1].run))[:most],
        "market": {
            "requests": _market(found.market_requests, most),
            "offers": _market(found.market_offers, most),
        },
        "totals": _totals(found),
        "requests": [_request(each) for each in found.requests[:most]],
        "buyers": [_party(each) for each in found.buyers[:most]],
        "suppliers": [_party(each) for each in found.suppliers[:most]],
        "budgets": [_budget(each) for each in found.budgets[:most]],
    }


def _side(result: Result, sum_of: Holding) -> dict[str, Any]:
    outcome = result.outcome
    return {
        "status": outcome.status.value,
        "objective": outcome.objectives[0].name if outcome.objectives else None,
        "unit": outcome.objectives[0].unit if outcome.objectives else None,
        "objective_fen": outcome.objective_fen,
        "bound_fen": outcome.bound_fen,
        "gap": outcome.gap,
        "matches": len(outcome.matches),
        "requests_matched": len({match.request for match in outcome.matches}),
        **{key: value for key, value in asdict(sum_of).items() if key != "blocks"},
    }


def _totals(found: Comparison) -> dict[str, Any]:
    here, there = asdict(found.here), asdict(found.there)
    gains = [each.gain_fen for each in found.requests]
    return {
        **{key: here[key] - there[key] for key in here},
        "requests_changed": len(gains),
        "requests_gaining": sum(1 for gain in gains if gain > 0),
        "gained_fen": sum(gain for gain in gains if gain > 0),
        "requests_losing": sum(1 for gain in gains if gain < 0),
        "lost_fen": -sum(gain for gain in gains if gain < 0),
        "buyers_changed": len(found.buyers),
        "suppliers_changed": len(found.suppliers),
        "causes": dict(sorted(_counts(found.requests).items())),
    }


def _counts(requests: Sequence[RequestDifference]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for each in requests:
        for cause in each.causes:
            counts[cause.value] = counts.get(cause.value, 0) + 1
    return counts


def _request(each: RequestDifference) -> dict[str, Any]:
    return {
        "request_ref": each.request,
        "buyer": each.buyer,
        "effects": [effect.value for effect in each.effects],
        "causes": [cause.value for cause in each.causes],
        "surplus_gain_fen": each.gain_fen,
        "this": _fate(each.here, each.code_here, each.offers_here),
        "other": _fate(each.there, each.code_there, each.offers_there),
    }


def _fate(holding: Holding, code: str | None, offers: Sequence[str]) -> dict[str, Any]:
    return asdict(holding) | {"offer_refs": list(offers), "code": code}


def _party(each: PartyDifference) -> dict[str, Any]:
    return {"ref": each.ref, "this": asdict(each.here), "other": asdict(each.there)}


def _budget(each: BudgetDifference) -> dict[str, Any]:
    return {"budget": each.name, "this": _use(each.here), "other": _use(each.there)}


def _use(use: BudgetUse | None) -> dict[str, Any] | None:
    if use is None:
        return None
    return {"limit_fen": use.limit_fen, "used_fen": use.used_fen, "shadow_price_micro": use.shadow_price_micro}


def _market(found: MarketDifference, most: int) -> dict[str, Any]:
    return {
        "only_in_this": list(found.only_here[:most]),
        "only_in_other": list(found.only_there[:most]),
        "changed": list(found.changed[:most]),
        "only_in_this_count": len(found.only_here),
        "only_in_other_count": len(found.only_there),
        "changed_count": len(found.changed),
    }


def config_differences(here: object, there: object, path: str = "") -> list[dict[str, Any]]:
    """Return each place in which two configurations differ; list items that have an id or name are told by it."""
    first, second = _by_name(here), _by_name(there)
    if first is None or second is None:
        return [] if here == there else [{"key": path, "this": here, "other": there}]
    return [
        difference
        for key in sorted({*first, *second})
        for difference in config_differences(first.get(key), second.get(key), f"{path}.{key}" if path else key)
    ]


def _by_name(value: object) -> dict[str, object] | None:
    """Return an object as it is and a list of named objects by their names, `None` for anything else."""
    if isinstance(value, dict):
        return cast("dict[str, object]", value)
    if not isinstance(value, list):
        return None
    named: dict[str, object] = {}
    for item in cast("list[object]", value):
        fields = cast("dict[str, object]", item) if isinstance(item, dict) else {}
        name = fields.get("id") or fields.get("name") or fields.get("share")
        if not isinstance(name, str):
            return None
        named[name] = fields
    return named
