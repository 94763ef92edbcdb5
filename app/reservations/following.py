"""What other packages do when a reservation changes, in the same transaction: contracts are made, bills follow.

Reservations know nothing of what rests on them. A package above registers its followers where it is imported, which
`app.api` and `app.worker` see to.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from app.kit.db import WriteSession

# Runs as the system, with the reservations (by id) and their requests locked and flushed.
Follower = Callable[[WriteSession, Sequence[UUID], datetime], Awaitable[None]]
_ON_CONFIRMED: Final[list[Follower]] = []
_ON_CHANGED: Final[list[Follower]] = []


def on_confirmed(follower: Follower) -> Follower:
    """Call a follower when reservations are confirmed, in the order of registration."""
    _ON_CONFIRMED.append(follower)
    return follower


def on_changed(follower: Follower) -> Follower:
    """Call a follower when reservations are cancelled, expired, ended early or extended; vouchers are still theirs."""
    _ON_CHANGED.append(follower)
    return follower


async def tell_confirmed(session: WriteSession, reservation_ids: Sequence[UUID], now: datetime) -> None:
    """Let everyone follow a confirmation (as the system)."""
    for follower in _ON_CONFIRMED:
        await follower(session, reservation_ids, now)


async def tell_changed(session: WriteSession, reservation_ids: Sequence[UUID], now: datetime) -> None:
    """Let everyone follow a cancellation, an expiry, an early end or an extension (as the system)."""
    if reservation_ids:
        for follower in _ON_CHANGED:
            await follower(session, reservation_ids, now)
