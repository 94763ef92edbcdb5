"""Clearings as callers see them: asked for, watched, cancelled, compared."""

import json
import zlib
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app.accounts.callers import Caller
from app.kit.db import ReadSession, WriteSession
from app.kit.errors import NOT_FOUND
from app.kit.ids import decode_id, new_id
from app.matching import clearing_repository as repository
from app.matching.clearing_errors import (
    CANCELLED,
    CLEARING_FINISHED,
    NO_OUTCOME,
    ONE_LIMIT,
    PROGRAMME_SETTING,
    TOO_MANY_CLEARINGS,
    UNKNOWN_PROGRAMME,
    WHAT_IF_ONLY,
    error_json,
)
from app.matching.clearing_models import Clearing, ClearingFile, ClearingMode, ClearingState
from app.matching.clearing_options import ClearingIn
from app.matching.clearing_schemas import ComparisonOut, SideOut
from app.matching.core.outcome import Status
from app.vouchers.programmes import ProgrammeError, parse_programme
from app.vouchers.service import list_programmes

MAX_WAITING: Final = 100
_LISTED: Final = 1000


async def create_clearing(session: WriteSession, caller: Caller, body: ClearingIn) -> Clearing:
    """Queue a clearing (the desk).

    Raises:
        Problem: `unknown_programme`, `programme_setting`, `what_if_only`, `one_limit_only`, `too_many_clearings`.
    """
    if body.time_limit_s is not None and body.work_limit is not None:
        raise ONE_LIMIT.field("/work_limit")
    await _check_programmes(session, body)
    waiting = await repository.count_waiting(session)
    if waiting >= MAX_WAITING:
        raise TOO_MANY_CLEARINGS.problem(waiting=waiting)
    clearing = Clearing(
        id=new_id(),
        requested_by=caller.org_id,
        mode=body.mode.value,
        options=body.model_dump(mode="json"),
        progress={"phase": "waiting", "best": None, "bound": None, "gap": None},
    )
    await repository.add_clearing(session, clearing)
    return clearing


async def _check_programmes(session: ReadSession, body: ClearingIn) -> None:
    stored = {version.programme_id: version.toml for version, _ in await list_programmes(session)}
    for at, each in enumerate(body.programmes or []):
        pointer = f"/programmes/{at}"
        if each.id not in stored:
            known = ", ".join(sorted(stored)) or "none"
            raise UNKNOWN_PROGRAMME.field(f"{pointer}/id", programme=each.id, known=known)
        if each.set and body.mode is ClearingMode.APPLY:
            raise WHAT_IF_ONLY.field(f"{pointer}/set")
        try:
            parse_programme(stored[each.id], each.id, dict(each.set))
        except ProgrammeError as error:
            raise PROGRAMME_SETTING.field(f"{pointer}/set", why=str(error)) from None


async def get_clearing(session: ReadSession, caller: Caller, clearing_id: UUID) -> Clearing:
    """Return a clearing that the caller may see.

    Raises:
        Problem: `not_found`.
    """
    clearing = await repository.get_clearing(session, caller, clearing_id)
    if clearing is None:
        raise NOT_FOUND.problem(what="clearing")
    return clearing


async def cancel_clearing(session: WriteSession, caller: Caller, clearing_id: UUID, now: datetime) -> Clearing:
    """Cancel a clearing (the desk); one that is running stops before it reserves. Again changes nothing.

    Raises:
        Problem: `not_found`, `clearing_finished`.
    """
    cancelled = await repository.cancel(session, clearing_id, error_json(CANCELLED), now)
    clearing = await get_clearing(session, caller, clearing_id)
    if not cancelled and clearing.state != ClearingState.CANCELLED.value:
        raise CLEARING_FINISHED.problem(state=clearing.state)
    return clearing


async def get_file(session: ReadSession, caller: Caller, clearing_id: UUID) -> ClearingFile:
    """Return what a clearing cleared and what came out, as they are stored (the desk, auditors).

    Raises:
        Problem: `not_found`, `no_outcome`.
    """
    clearing = await get_clearing(session, caller, clearing_id)
    file = await repository.get_file(session, clearing_id)
    if file is None:
        raise NO_OUTCOME.problem(state=clearing.state)
    return file


async def get_result(session: ReadSession, caller: Caller, clearing_id: UUID) -> dict[str, Any]:
    """Return the result of a clearing in the format of market files' (the desk, auditors).

    Raises:
        Problem: `not_found`, `no_outcome`.
    """
    return json.loads(zlib.decompress((await get_file(session, caller, clearing_id)).outcome))


async def compare(session: ReadSession, caller: Caller, this_id: UUID, other_id: UUID) -> ComparisonOut:
    """Return two clearings side by side (the desk, auditors).

    Raises:
        Problem: `not_found`, `no_outcome`.
    """
    this, other = [await get_result(session, caller, each) for each in (this_id, other_id)]
    here, there = [{match["request_ref"] for match in result["matches"]} for result in (this, other)]
    return ComparisonOut(
        this=_side(this_id, this),
        other=_side(other_id, other),
        same_instance=this["instance_sha256"] == other["instance_sha256"],
        only_in_this=[decode_id("req", ref) for ref in sorted(here - there)[:_LISTED]],
        only_in_other=[decode_id("req", ref) for ref in sorted(there - here)[:_LISTED]],
    )


def _side(clearing_id: UUID, result: dict[str, Any]) -> SideOut:
    matches: list[dict[str, Any]] = result["matches"]
    return SideOut(
        id=clearing_id,
        status=Status(result["status"]),
        objective_fen=result["objective_fen"],
        bound_fen=result["bound_fen"],
        matches=len(matches),
        requests_matched=len({match["request_ref"] for match in matches}),
        card_hours=sum(match["cards"] * match["hours"] for match in matches),
        cost_fen=sum(match["cost_fen"] for match in matches),
        subsidy_fen=sum(match["subsidy_fen"] for match in matches),
        net_fen=sum(match["net_fen"] for match in matches),
    )
