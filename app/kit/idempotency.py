"""Idempotency keys: an answer is stored in the same transaction as its effect, and replayed for a repeat.

Scoped to the caller's organisation and the route; kept 72 hours. A twin that is still running is seen through
an advisory lock (waiting on a row would merely block). Refusals are stored in a transaction of their own;
validation errors and failures of ours are not stored, so that a corrected or repeated try may succeed.
"""

import hashlib
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import LargeBinary, SmallInteger, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from app.kit.db import Base, ReadSession, WriteSession
from app.kit.errors import IDEMPOTENCY_IN_FLIGHT, IDEMPOTENCY_MISMATCH

KEPT: Final = timedelta(hours=72)


class IdempotencyRecord(Base):
    """The stored answer of a write, by organisation, route and key."""

    __tablename__ = "idempotency_record"

    org_id: Mapped[UUID] = mapped_column(primary_key=True)
    route: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    body_hash: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[int] = mapped_column(SmallInteger)
    headers: Mapped[dict[str, Any]]
    body: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp(), index=True)


def body_hash(method: str, path: str, query: str, body: bytes) -> bytes:
    """Return the SHA-256 of everything that makes one request the same as another."""
    return hashlib.sha256(f"{method}\0{path}\0{query}".encode() + b"\0" + body).digest()


async def claim_key(session: WriteSession, org_id: UUID, route: str, key: str) -> None:
    """Take the key until the transaction's end.

    Raises:
        Problem: `idempotency_in_flight` if another transaction holds it.
    """
    digest = hashlib.sha256(f"{org_id}\0{route}\0{key}".encode()).digest()
    number = int.from_bytes(digest[:8], "big", signed=True)
    taken = await session.scalar(select(func.pg_try_advisory_xact_lock(number)))
    if not taken:
        raise IDEMPOTENCY_IN_FLIGHT.problem(headers={"Retry-After": "1"})


async def stored_answer(
    session: ReadSession, org_id: UUID, route: str, key: str, wanted_hash: bytes
) -> IdempotencyRecord | None:
    """Return the answer given before to this key, if any.

    Raises:
        Problem: `idempotency_key_reused` if the key came with another request.
    """
    record = await session.get(IdempotencyRecord, (org_id, route, key))
    if record is not None and record.body_hash != wanted_hash:
        raise IDEMPOTENCY_MISMATCH.problem()
    return record


async def store_answer(session: WriteSession, record: IdempotencyRecord) -> None:
    """Keep an answer; one that is there already stays."""
    values = {
        "org_id": record.org_id,
        "route": record.route,
        "key": record.key,
        "body_hash": record.body_hash,
        "status": record.status,
        "headers": record.headers,
        "body": record.body,
    }
    await session.execute(insert(IdempotencyRecord).values(values).on_conflict_do_nothing())


async def forget_old_answers(session: WriteSession, now: datetime) -> int:
    """Delete answers older than 72 hours; return how many."""
    result = await session.execute(
        delete(IdempotencyRecord).where(IdempotencyRecord.created_at < now - KEPT).returning(IdempotencyRecord.key)
    )
    return len(result.all())
