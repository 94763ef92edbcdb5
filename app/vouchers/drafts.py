"""Versions of programmes: drafts made, changed, deleted and published by the desk, and what they explain."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from app.accounts.callers import Caller
from app.kit.db import ReadSession, WriteSession
from app.kit.errors import NOT_FOUND, FieldError
from app.vouchers import repository, service, standing
from app.vouchers import version_repository as versions
from app.vouchers.budgets import programme_of
from app.vouchers.draft_errors import OLD_VERSION, OTHER_PROGRAMME, PROGRAMME_FILE, PUBLISHED
from app.vouchers.facts import ContractFacts, SupplierFacts
from app.vouchers.models import ProgrammeVersion, VersionState
from app.vouchers.policy import Programme
from app.vouchers.programmes import ProgrammeError, parse_programme
from app.vouchers.rules import Left, contract_year, signing_day
from app.vouchers.stacking import Together, decide_together


def read_draft(toml: str) -> Programme:
    """Return the programme of a file.

    Raises:
        Problem: `programme_file`, with each fault by line and key.
    """
    try:
        return parse_programme(toml, "the file")
    except ProgrammeError as error:
        faults = [
            FieldError("/toml", PROGRAMME_FILE.code, f"{'' if line is None else f'line {line}, '}{key}: {text}")
            for line, key, text in error.problems
        ]
        raise PROGRAMME_FILE.problem(count=len(faults), errors=faults) from None


async def list_versions(session: ReadSession, caller: Caller, programme: str) -> list[ProgrammeVersion]:
    """Return a programme's versions, the newest first; drafts for those who read all.

    Raises:
        Problem: `not_found`.
    """
    found = await versions.all_versions(session, programme)
    seen = [row for row in found if caller.reads_all or row.state == VersionState.PUBLISHED.value]
    if not seen:
        raise NOT_FOUND.problem(what="programme")
    return seen


async def get_version(session: ReadSession, caller: Caller, programme: str, version: int) -> ProgrammeVersion:
    """Return a version of a programme; a draft for those who read all.

    Raises:
        Problem: `not_found`.
    """
    row = await repository.get_version(session, programme, version)
    if row is None or not (caller.reads_all or row.state == VersionState.PUBLISHED.value):
        raise NOT_FOUND.problem(what="programme")
    return row


async def create_draft(session: WriteSession, toml: str, now: datetime) -> ProgrammeVersion:
    """Store a file as a draft, under its own id and version (the desk).

    Raises:
        Problem: `programme_file`, `programme_version_older`; `programme_version_exists` at the edge.
    """
    programme = read_draft(toml)
    published = await repository.find_versions(session, programme.id)
    if published and programme.version < published[-1].version:
        raise OLD_VERSION.field("/toml", programme=programme.id, newest=published[-1].version)
    return await versions.insert_draft(session, programme.id, programme.version, toml, _sha256(toml), now)


async def change_draft(
    session: WriteSession, programme: str, version: int, toml: str, check: Callable[[int], None]
) -> ProgrammeVersion:
    """Put another file in a draft's place (the desk).

    Raises:
        Problem: `not_found`, what `check` refuses of the revision, `programme_published`, `programme_file`,
            `other_programme`.
    """
    row = await _draft(session, programme, version, check)
    found = read_draft(toml)
    if (found.id, found.version) != (programme, version):
        raise OTHER_PROGRAMME.field("/toml", programme=programme, version=version)
    row.toml, row.sha256, row.revision = toml, _sha256(toml), row.revision + 1
    await session.flush()
    return row


async def delete_draft(session: WriteSession, programme: str, version: int, check: Callable[[int], None]) -> None:
    """Delete a draft (the desk).

    Raises:
        Problem: `not_found`, what `check` refuses of the revision, `programme_published`.
    """
    await session.delete(await _draft(session, programme, version, check))
    await session.flush()


async def publish(
    session: WriteSession, programme: str, version: int, check: Callable[[int], None]
) -> ProgrammeVersion:
    """Publish a draft: from then on it never changes (the desk). Years opened before keep their version.

    Raises:
        Problem: `not_found`, what `check` refuses of the revision, `programme_published`, `programme_version_older`.
    """
    row = await _draft(session, programme, version, check)
    published = await repository.find_versions(session, programme)
    if published and version < published[-1].version:
        raise OLD_VERSION.problem(programme=programme, newest=published[-1].version)
    row.state, row.revision = VersionState.PUBLISHED.value, row.revision + 1
    await session.flush()
    return row


async def _draft(session: WriteSession, programme: str, version: int, check: Callable[[int], None]) -> ProgrammeVersion:
    row = await versions.lock_version(session, programme, version)
    if row is None:
        raise NOT_FOUND.problem(what="programme")
    check(row.revision)
    if row.state != VersionState.DRAFT.value:
        raise PUBLISHED.problem(programme=programme, version=version)
    return row


def _sha256(toml: str) -> str:
    return hashlib.sha256(toml.encode()).hexdigest()


async def explain(
    session: ReadSession,
    programmes: Sequence[Programme],
    contract: ContractFacts,
    buyer: UUID,
    supplier: UUID | None,
) -> tuple[Together, ...]:
    """Return what programmes give a buyer for a contract, by its verified facts and what is left (as the system).

    Without a supplier, as with a partner of all of them that isn't affiliated.
    """
    day = signing_day(programmes[0], contract.signed_at)
    names = frozenset(programme.id for programme in programmes)
    facts = (await standing.load_buyers(session, [buyer], day))[buyer]
    seller = SupplierFacts(partner_of=names, affiliated=False)
    if supplier is not None:
        seller = await supplier_of(session, supplier, buyer, programmes, contract)
    left: dict[str, Left] = {}
    for programme in programmes:
        year = contract_year(programme, contract.signed_at)
        if await service.versions_open(session, [(programme.id, year)]):
            found = await service.load_budgets(session, programme.id, year, [buyer])
            tiers = {tier.id: found.tier_fen.get((tier.id, buyer)) for tier in programme.tiers}
            left[programme.id] = Left(found.pool_fen, found.buyer_fen[buyer], tiers)
    return decide_together(programmes, contract, facts, seller, left)


async def supplier_of(
    session: ReadSession, supplier: UUID, buyer: UUID, programmes: Sequence[Programme], contract: ContractFacts
) -> SupplierFacts:
    """Return what rules read of a supplier and its buyer on the day of a contract's signing (as the system)."""
    return await standing.load_supplier(
        session,
        supplier,
        buyer,
        frozenset(programme.id for programme in programmes),
        signing_day(programmes[0], contract.signed_at),
    )


async def newest(session: ReadSession, names: Sequence[str]) -> list[Programme]:
    """Return the newest published versions of programmes, in the order given.

    Raises:
        Problem: `not_found`.
    """
    found: list[Programme] = []
    for name in names:
        row, _ = await service.get_programme(session, name)
        found.append(programme_of(row.toml, row.sha256))
    return found
