"""`cardhour verify`: every invariant, over one snapshot."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app.kit.db import Database, Scope
from app.schema import current_revision, head_revision
from app.verification import repository
from app.verification.checks import CHECKS, Check
from app.verification.claim_checks import CLAIM_CHECKS
from app.verification.clearing_checks import (
    NAME,
    PROMISE,
    RESERVATION_CHECK,
    ROWS_NAME,
    ROWS_PROMISE,
    check_clearings,
)
from app.verification.ledger_checks import LEDGER_CHECKS
from app.verification.settlement_checks import SETTLEMENT_CHECKS
from app.verification.voucher_checks import VOUCHER_CHECKS

ALL_CHECKS: Final = (*CHECKS, *LEDGER_CHECKS, *VOUCHER_CHECKS, *SETTLEMENT_CHECKS, *CLAIM_CHECKS, RESERVATION_CHECK)
_SCHEMA: Final = Check("schema", "the database is at this release's newest migration", "", "")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: `violations` of its promise among `counted` rows, the first of them told."""

    name: str
    promise: str
    counted: int
    violations: int
    told: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether the promise is kept."""
        return self.violations == 0


async def verify(database: Database, *, on_finding: Callable[[Finding], None] | None = None) -> list[Finding]:
    """Check everything that must always be true, in one read-only snapshot.

    Args:
        database: opened as the auditor, who sees every row and can change none.
        on_finding: called as each check ends, for progress.

    Returns:
        A finding per check. Where the schema is not this release's, only that finding.
    """
    findings: list[Finding] = []

    def add(finding: Finding) -> None:
        findings.append(finding)
        if on_finding is not None:
            on_finding(finding)

    async with database.read(Scope("auditor"), isolation="REPEATABLE READ") as session:
        await repository.lift_statement_timeout(session)
        at, head = await current_revision(session), head_revision()
        told = () if at == head else (f"the database is at {at or 'no migration'}, this release at {head}",)
        add(Finding(_SCHEMA.name, _SCHEMA.promise, 1, len(told), told))
        if told:
            return findings
        for check in ALL_CHECKS:
            counted, violations, lines = await repository.run_check(session, check)
            add(Finding(check.name, check.promise, counted, violations, tuple(lines)))
        counted, wrong, wrong_rows = await check_clearings(session)
        for name, promise, lines in ((NAME, PROMISE, wrong), (ROWS_NAME, ROWS_PROMISE, wrong_rows)):
            add(Finding(name, promise, counted, len(lines), tuple(lines[: repository.SHOWN])))
    return findings
