"""The sweep: what time alone does to reservations. The worker runs it, as the system."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import and_, or_

from app.demand.models import ComputeRequest
from app.kit.db import WriteSession
from app.reservations import repository
from app.reservations.models import Reservation, ReservationState
from app.reservations.repository import Turn
from app.reservations.schemas import EndReason
from app.reservations.service import recount, released

BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class SweepResult:
    """How many reservations took which turn in one transaction."""

    expired: int = 0
    activated: int = 0
    completed: int = 0
    released: int = 0

    @property
    def changed(self) -> int:
        """How many took any; sweep again, in a new transaction, until it is 0."""
        return self.expired + self.activated + self.completed + self.released


async def sweep(session: WriteSession, now: datetime, *, limit: int = BATCH) -> SweepResult:
    """Give at most `limit` due reservations their next state, then their requests theirs.

    Lapsed holds expire, confirmed reservations whose start has come are active, active ones whose end has come are
    completed. A request that loses a hold and falls below its `min_blocks` loses its other held and confirmed
    blocks. Requests that somebody holds just now are left to the next sweep, so that nobody waits for another.

    Args:
        session: a transaction of its own, with the system's eyes.
        now: the present.
        limit: most due reservations to take.
    """
    due = await repository.find_due(session, now, limit)
    requests = await repository.lock_free_requests(session, {request_id for _, request_id in due})
    if not requests:
        return SweepResult()
    locked = await _lock_rows(session, due, requests, now)
    turns = _turns(locked, now)
    losses = {row.request_id for row in locked if row.id in turns and turns[row.id].state is ReservationState.EXPIRED}
    for request_id in losses:
        left = [row for row in locked if row.request_id == request_id and row.id not in _expired(turns)]
        turns.update({each.reservation_id: each for each in released(requests[request_id], left)})
    await repository.turn(session, list(turns.values()), now)
    await recount(session, list(requests.values()), now)
    return _result(list(turns.values()))
