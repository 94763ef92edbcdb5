"""The file of a clearing: Outcome ⇄ JSON, as `cardhour clear` writes it and `verify-clearing` reads it."""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np

from app.kit.time import floor_hour, format_rfc3339, from_hour_index, hour_index, parse_rfc3339
from app.matching.core.codec import instance_from_json
from app.matching.core.config import Forbid, Method, Objective, Pin, Share, SolverConfig
from app.matching.core.instance import Instance
from app.matching.core.limits import MAX_HOUR, InstanceError
from app.matching.core.outcome import (
    BudgetUse,
    CapacityDual,
    Change,
    Duals,
    Match,
    Outcome,
    Stage,
    Status,
    Subsidy,
    Unmatched,
)
from app.matching.core.what_if import OfferChange, change_from_json, changes_to_json
from app.matching.files import RejectedRow
from app.vouchers.programmes import Programme, programme_from_data

LAST_RUN = (MAX_HOUR, 0, 0)


class ResultError(ValueError):
    """A file that is not one that `cardhour clear` wrote."""


@dataclass(frozen=True)
class Run:
    """What a clearing on files was asked for: the solver's configuration and what made the instance."""

    solver: SolverConfig
    programmes: tuple[Programme, ...]
    as_of: datetime | None
    limit_requests: int | None
    offer_changes: tuple[OfferChange, ...] = ()


@dataclass(frozen=True)
class Result:
    """A clearing's file, read back."""

    instance_sha256: str
    run: Run
    outcome: Outcome
    rejected: tuple[RejectedRow, ...]
    gap: float | None


def _hour(hour: int) -> str:
    return format_rfc3339(from_hour_index(hour))


def config_to_json(run: Run) -> dict[str, Any]:
    """Return all that decides the result besides the market."""
    solver = run.solver
    return {
        "method": solver.method.value,
        "objective": solver.objective.value,
        "kappa_ppm": solver.kappa_ppm,
        "programmes": [programme.numbers() for programme in run.programmes],
        "as_of": None if run.as_of is None else format_rfc3339(run.as_of),
        "limit_requests": run.limit_requests,
        "offer_changes": changes_to_json(run.offer_changes),
        "pins": [
            {
                "request_ref": pin.request,
                "offer_ref": pin.offer,
                "start": None if pin.start_hour is None else _hour(pin.start_hour),
            }
            for pin in solver.pins
        ],
        "forbids": [{"request_ref": pair.request, "offer_ref": pair.offer} for pair in solver.forbids],
        "shares": [{"share": share.name, "share_ppm": share.share_ppm} for share in solver.shares],
        "seed": solver.seed,
        "time_limit_s": solver.time_limit_s,
        "work_limit": solver.work_limit,
        "workers": solver.workers,
    }


def _match(match: Match) -> dict[str, Any]:
    return {
        "request_ref": match.request,
        "block": match.block,
        "offer_ref": match.offer,
        "start": _hour(match.start_hour),
        "hours": match.hours,
        "cards": match.cards,
        "cost_fen": match.cost_fen,
        "subsidies": [
            {"programme": subsidy.programme, "tier": subsidy.tier, "amount_fen": subsidy.amount_fen}
            for subsidy in match.subsidies
        ],
        "subsidy_fen": match.subsidy_fen,
        "net_fen": match.net_fen,
        "surplus_fen": match.surplus_fen,
        # Market files have one alternative a request; only a request that was met by another says which.
        **({"alternative": match.alternative} if match.alternative else {}),
    }


def _unmatched(unmatched: Unmatched) -> dict[str, Any]:
    return {
        "request_ref": unmatched.request,
        "blocks_unmatched": unmatched.blocks_unmatched,
        "code": unmatched.code,
        "detail": unmatched.detail,
        "changes": [
            {
                "change": change.change,
                "from": change.before,
                "to": change.after,
                "offer_ref": change.offer,
                "start": _hour(change.start_hour),
            }
            for change in unmatched.changes
        ],
    }


def budget_json(use: BudgetUse) -> dict[str, str | int]:
    """Return what was used of a budget, and its shadow price."""
    return {
        "budget": use.name,
        "limit_fen": use.limit_fen,
        "used_fen": use.used_fen,
        "shadow_price_micro": use.shadow_price_micro,
    }


def _runs(row: CapacityDual) -> list[list[str | int]]:
    """Return the stretches of equal price, without those of price 0."""
    runs: list[list[str | int]] = []
    at = row.first_hour
    for price, group in groupby(row.prices.tolist()):
        hours = sum(1 for _ in group)
        if price:
            runs.append([_hour(at), hours, price])
        at += hours
    return runs


def result_to_json(
    sha256: str,
    run: Run,
    outcome: Outcome,
    rejected: Sequence[RejectedRow],
    *,
    seconds: float,
    peak_rss_mib: int,
) -> dict[str, Any]:
    """Return the clearing's file as JSON data."""
    body: dict[str, Any] = {
        "instance_sha256": sha256,
        "config": config_to_json(run),
        "status": outcome.status.value,
        "objective_fen": outcome.objective_fen,
        "bound_fen": outcome.bound_fen,
        "solver_bound_fen": outcome.solver_bound_fen,
        "gap": outcome.gap,
        "objectives": [
            {"name": stage.name, "unit": stage.unit, "value": stage.value, "bound": stage.bound}
            for stage in outcome.objectives
        ],
        "run": {"seconds": round(seconds, 3), "peak_rss_mib": peak_rss_mib},
        "matches": [_match(match) for match in outcome.matches],
        "unmatched": [_unmatched(unmatched) for unmatched in outcome.unmatched],
        "rejected_rows": [
            {"file": row.file, "line": row.line, "column": row.column, "code": row.code, "detail": row.detail}
            for row in rejected
        ],
        "budgets": [budget_json(use) for use in outcome.budgets],
        "duals": {
            "capacity": [
                {"offer_ref": row.offer, "a": row.a, "b": row.b, "runs": runs}
                for row in outcome.duals.capacity
                if (runs := _runs(row))
            ],
            "budgets": [{"budget": name, "mu": mu} for name, mu in sorted(outcome.duals.budgets.items()) if mu],
            "shares": [{"share": name, "nu": nu} for name, nu in sorted(outcome.duals.shares.items()) if nu],
        },
    }
    if outcome.detail is not None:
        body["detail"] = outcome.detail
    return body


def write_result(path: Path, body: dict[str, Any]) -> None:
    """Write a clearing's file, one row of each list on a line of its own."""

    def line(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))

    parts: list[str] = []
    for key, value in body.items():
        if isinstance(value, list) and value:
            rows = cast("list[Any]", value)
            parts.append(f"{line(key)}: [\n  " + ",\n  ".join(line(row) for row in rows) + "\n ]")
        elif key == "duals":
            inner = ",\n  ".join(
                f"{line(kind)}: [" + ",\n   ".join(line(row) for row in rows) + "]"
                for kind, rows in cast("dict[str, list[Any]]", value).items()
            )
            parts.append(f"{line(key)}: {{\n  {inner}\n }}")
        else:
            parts.append(f"{line(key)}: {line(value)}")
    path.write_text("{\n " + ",\n ".join(parts) + "\n}\n", encoding="utf-8")


def read_result(path: Path) -> Result:
    """Read a clearing's file back.

    Raises:
        ResultError: if it is not such a file.
    """
    try:
        return result_from_json(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ResultError(f"{path.name}: {error.strerror}") from None
    except ValueError as error:
        raise ResultError(f"{path.name} is not a clearing's file: {error}") from None


def read_instance(path: Path) -> Instance:
    """Read an instance's file.

    Raises:
        InstanceError: if it can't be read or is not one.
    """
    try:
        return instance_from_json(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InstanceError(path.name, "unreadable", str(error.strerror)) from None
    except (ValueError, RecursionError) as error:
        raise InstanceError(path.name, "not_json", str(error)) from None


def unpack_clearing(instance: bytes, outcome: bytes) -> tuple[Instance, Result]:
    """Return what a clearing on record cleared and what came out, both given as they are stored: compressed JSON.

    Raises:
        zlib.error, ValueError, InstanceError, ResultError: if either is not what was stored.
    """
    return (
        instance_from_json(json.loads(zlib.decompress(instance))),
        result_from_json(json.loads(zlib.decompress(outcome))),
    )


def result_from_json(body: Any) -> Result:
    """Return the result that `result_to_json` wrote.

    Raises:
        ResultError: for any other shape.
    """
    try:
        return Result(
            instance_sha256=body["instance_sha256"],
            run=run_from_json(body["config"]),
            outcome=_outcome_from(body),
            rejected=tuple(RejectedRow(**row) for row in body["rejected_rows"]),
            gap=body["gap"],
        )
    except ResultError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ResultError(f"{type(error).__name__}: {error}") from None


def run_from_json(config: dict[str, Any]) -> Run:
    """Return what `config_to_json` wrote."""
    return Run(
        solver=SolverConfig(
            method=Method(config["method"]),
            objective=Objective(config["objective"]),
            kappa_ppm=config["kappa_ppm"],
            pins=tuple(
                Pin(pin["request_ref"], pin["offer_ref"], None if pin["start"] is None else _index(pin["start"]))
                for pin in config["pins"]
            ),
            forbids=tuple(Forbid(pair["request_ref"], pair["offer_ref"]) for pair in config["forbids"]),
            shares=tuple(Share(share["share"], share["share_ppm"]) for share in config["shares"]),
            seed=config["seed"],
            time_limit_s=config["time_limit_s"],
            work_limit=config["work_limit"],
            workers=config["workers"],
        ),
        programmes=tuple(programme_from_data(data, data["id"]) for data in config["programmes"]),
        as_of=None if config["as_of"] is None else parse_rfc3339(config["as_of"]),
        limit_requests=config["limit_requests"],
        # Clearings stored before there were any have no such key.
        offer_changes=tuple(change_from_json(change) for change in config.get("offer_changes", [])),
    )


def _index(text: str) -> int:
    moment = parse_rfc3339(text)
    if moment != floor_hour(moment):
        raise ResultError(f"{text} is not on a whole hour")
    return hour_index(moment)


def _require_whole(part: Any) -> None:
    """Refuse numbers that aren't whole: `1.0` would pass for 1 in every comparison."""
    if isinstance(part, (float, bool)):
        raise ResultError(f"{part} stands where only whole numbers may")
    values: list[Any] = []
    if isinstance(part, dict):
        values = list(cast("dict[str, Any]", part).values())
    elif isinstance(part, list):
        values = cast("list[Any]", part)
    for value in values:
        _require_whole(value)


def _outcome_from(body: dict[str, Any]) -> Outcome:
    for key in ("matches", "unmatched", "budgets", "duals", "objectives", "objective_fen", "bound_fen"):
        _require_whole(body[key])
    _require_whole(body["solver_bound_fen"])
    matches: list[Match] = []
    for row in body["matches"]:
        match = Match(
            request=row["request_ref"],
            block=row["block"],
            alternative=row.get("alternative", 0),
            offer=row["offer_ref"],
            start_hour=_index(row["start"]),
            hours=row["hours"],
            cards=row["cards"],
            cost_fen=row["cost_fen"],
            subsidies=tuple(Subsidy(s["programme"], s["tier"], s["amount_fen"]) for s in row["subsidies"]),
            surplus_fen=row["surplus_fen"],
        )
        if (match.subsidy_fen, match.net_fen) != (row["subsidy_fen"], row["net_fen"]):
            raise ResultError(f"match of {match.request}: subsidy_fen or net_fen doesn't add up")
        matches.append(match)
    return Outcome(
        status=Status(body["status"]),
        detail=body.get("detail"),
        matches=tuple(matches),
        objective_fen=body["objective_fen"],
        bound_fen=body["bound_fen"],
        solver_bound_fen=body["solver_bound_fen"],
        objectives=tuple(Stage(s["name"], s["unit"], s["value"], s["bound"]) for s in body["objectives"]),
        duals=_duals_from(body["duals"]),
        unmatched=tuple(_unmatched_from(row) for row in body["unmatched"]),
        budgets=tuple(
            BudgetUse(row["budget"], row["limit_fen"], row["used_fen"], row["shadow_price_micro"])
            for row in body["budgets"]
        ),
    )


def _unmatched_from(row: dict[str, Any]) -> Unmatched:
    return Unmatched(
        request=row["request_ref"],
        blocks_unmatched=row["blocks_unmatched"],
        code=row["code"],
        detail=row["detail"],
        changes=tuple(
            Change(change["change"], change["from"], change["to"], change["offer_ref"], _index(change["start"]))
            for change in row["changes"]
        ),
    )


def _duals_from(data: dict[str, Any]) -> Duals:
    rows: list[CapacityDual] = []
    for row in data["capacity"]:
        runs = [(_index(start), hours, price) for start, hours, price in row["runs"]]
        if any(hours < 1 or start + hours > then for (start, hours, _), (then, _, _) in pairwise([*runs, LAST_RUN])):
            raise ResultError(f"duals: the runs of {row['offer_ref']} are empty or overlap")
        first = min(start for start, _, _ in runs)
        prices = np.zeros(max(start + hours for start, hours, _ in runs) - first, dtype=np.int64)
        for start, hours, price in runs:
            prices[start - first : start - first + hours] = price
        rows.append(CapacityDual(row["offer_ref"], row["a"], row["b"], first, prices))
    return Duals(
        capacity=tuple(rows),
        budgets={row["budget"]: row["mu"] for row in data["budgets"]},
        shares={row["share"]: row["nu"] for row in data["shares"]},
    )
