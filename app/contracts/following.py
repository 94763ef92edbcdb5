"""What packages above do before a voucher is revoked: what it redeemed and nobody claimed yet is given back onto it."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final
from uuid import UUID

from app.kit.db import WriteSession

# Runs as the system, with the voucher locked.
Follower = Callable[[WriteSession, UUID, datetime], Awaitable[None]]
_BEFORE_REVOKED: Final[list[Follower]] = []


def before_revoked(follower: Follower) -> Follower:
    """Call a follower before a voucher is revoked, in the order of registration."""
    _BEFORE_REVOKED.append(follower)
    return follower


async def tell_before_revoked(session: WriteSession, voucher_id: UUID, now: datetime) -> None:
    """Let everyone give back what can be given back (as the system)."""
    for follower in _BEFORE_REVOKED:
        await follower(session, voucher_id, now)
