"""Clearings as callers see them: asked for, watched, cancelled, compared."""

import asyncio
import json
import zlib
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app.accounts.callers import Caller
from app.kit.db import ReadSession, WriteSession
from app.kit.errors import NOT_FOUND
from app.kit.ids import new_id
from app.matching import clearing_repository as repository
from app.matching.clearing_errors import (
    BASE_HAS_FILTERS,
    BASE_PROGRAMME,
    CANCELLED,
    CLEARING_FINISHED,
    DRY_RUN_ONLY,
    NO_OUTCOME,
    OFFER_CHANGE_NUMBERS,
    OFFER_CHANGE_TARGET,
    OFFER_CHANGED_TWICE,
    ONE_LIMIT,
    PROGRAMME_SETTING,
    TOO_MANY_CLEARINGS,
    UNKNOWN_PROGRAMME,
    WHAT_IF_ONLY,
    error_json,
)
from app.matching.clearing_models import Clearing, ClearingFile, ClearingMode, ClearingState
from app.matching.clearing_options import ClearingIn, FiltersIn
from app.matching.comparing import compare_results
from app.matching.comparison_schemas import ComparisonOut, comparison_out
from app.matching.core.instance import Instance
from app.matching.restoring import programmes_of
from app.matching.results import Result, run_from_json, unpack_clearing
from app.vouchers.programmes import ProgrammeError, parse_programme
from app.vouchers.service import list_programmes

MAX_WAITING: Final = 100


async def create_clearing(session: WriteSession, caller: Caller, body: ClearingIn) -> Clearing:
    """Queue a clearing (the desk).

    Raises:
        Problem: `unknown_programme`, `programme_setting`, `what_if_only`, `one_limit_only`, `too_many_clearings`,
            `dry_run_only`, `offer_change_target`, `offer_change_numbers`, `offer_changed_twice`; of a base `not_found`,
            `no_outcome`, `base_has_filters`, `base_programme`.
    """
    if body.time_limit_s is not None and body.work_limit is not None:
        raise ONE_LIMIT.field("/work_limit")
    _check_offer_changes(body)
    if body.base_clearing_id is None:
        await _check_programmes(session, body)
    else:
        await _check_base(session, caller, body, body.base_clearing_id)
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


def _check_offer_changes(body: ClearingIn) -> None:
    if body.offer_changes and body.mode is ClearingMode.APPLY:
        raise DRY_RUN_ONLY.field("/offer_changes", what="offer_changes")
    seen: set[str] = set()
    for at, each in enumerate(body.offer_changes):
        pointer = f"/offer_changes/{at}"
        if each.name is None:
            raise OFFER_CHANGE_TARGET.field(pointer)
        pairs = ((each.price_fen, each.price_ppm), (each.add_cards, each.cards_ppm))
        given = [sum(number is not None for number in pair) for pair in pairs]
        if max(given) > 1 or not sum(given):
            raise OFFER_CHANGE_NUMBERS.field(pointer)
        if each.name in seen:
            raise OFFER_CHANGED_TWICE.field(pointer, name=each.name)
        seen.add(each.name)


async def _check_base(session: ReadSession, caller: Caller, body: ClearingIn, base_id: UUID) -> None:
    if body.mode is ClearingMode.APPLY:
        raise DRY_RUN_ONLY.field("/base_clearing_id", what="base_clearing_id")
    if body.filters != FiltersIn():
        raise BASE_HAS_FILTERS.field("/filters")
    config = (await get_result(session, caller, base_id))["config"]
    base = run_from_json(config)
    known = [programme.id for programme in base.programmes]
    for at, each in enumerate(body.programmes or []):
        if each.id not in known:
            told = ", ".join(known) or "none"
            raise BASE_PROGRAMME.field(f"/programmes/{at}/id", programme=each.id, known=told)
    try:
        programmes_of(base, body)
    except ProgrammeError as error:
        raise PROGRAMME_SETTING.field("/programmes", why=str(error)) from None


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


async def compare(session: ReadSession, caller: Caller, this_id: UUID, other_id: UUID, most: int) -> ComparisonOut:
    """Return who gains and who loses by one clearing against another, and why (the desk, auditors).

    Raises:
        Problem: `not_found`, `no_outcome`.
    """
    this, other = [await _load(session, caller, each) for each in (this_id, other_id)]
    found = await asyncio.to_thread(compare_results, this, other, most)
    return comparison_out(this_id, other_id, found)


async def _load(session: ReadSession, caller: Caller, clearing_id: UUID) -> tuple[Instance, Result]:
    file = await get_file(session, caller, clearing_id)
    return await asyncio.to_thread(unpack_clearing, file.instance, file.outcome)
