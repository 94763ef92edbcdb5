"""Runs a check's statements."""

from typing import Final

from sqlalchemy import text

from app.kit.db import ReadSession
from app.verification.checks import Check

SHOWN: Final = 20


async def run_check(session: ReadSession, check: Check) -> tuple[int, int, list[str]]:
    """Return how many rows a check looked at, how many violations it found, and the first of them."""
    counted = await session.scalar(text(check.counted))
    # Colons in the statements are casts, never parameters.
    broken = check.broken.replace("::", r"\:\:")
    rows = (await session.execute(text(f"SELECT *, count(*) OVER () FROM ({broken}) AS v LIMIT {SHOWN}"))).all()  # noqa: S608
    return counted or 0, rows[0][1] if rows else 0, [str(row[0]) for row in rows]


async def lift_statement_timeout(session: ReadSession) -> None:
    """Let this transaction's statements take as long as they need."""
    await session.execute(text("SET LOCAL statement_timeout = 0"))
