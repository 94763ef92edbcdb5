"""One import: files → rows → plan → one transaction that also ends the job."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Final, TypeVar
from uuid import UUID

import structlog
from sqlalchemy.exc import IntegrityError

from app.accounts.models import Role
from app.bulk import errors, reading_repository, repository, writing_repository
from app.bulk.market import SEPARATOR, earliest_time, into_namespace, read_market, shift
from app.bulk.models import BulkJob
from app.bulk.options import ImportOptions, scope_of
from app.bulk.plan import Existing, Importer, KnownOrganisation, Plan, make_plan
from app.bulk.progress import Progress, Stopped
from app.bulk.reports import Refused, error_json, import_result
from app.bulk.rows import Market, OrganisationRow
from app.bulk.writing_repository import CHUNK
from app.kit.db import SYSTEM, Database, ReadSession, WriteSession, sqlstate
from app.kit.errors import Problem
from app.kit.ids import new_id

Item = TypeVar("Item")

# Years and days of facts are those of the programmes' time zone, which has no daylight saving.
_SHANGHAI: Final = timezone(timedelta(hours=8))
_TRIES: Final = 3
_UNIQUE_VIOLATION: Final = "23505"
_log: Final = structlog.get_logger("cardhour.bulk")


async def run_import(database: Database, job: BulkJob, progress: Progress, clock: Callable[[], datetime]) -> None:
    """Do an import and end its job as succeeded, in one transaction.

    Raises:
        Refused: if the job must end without a result; nothing was written.
        Stopped: if it is no longer this attempt's; nothing was written.
    """
    options = ImportOptions.of(job.options)
    async with database.read(SYSTEM) as session:
        await repository.be_patient(session, statement_seconds=120, lock_seconds=2)
        files = await repository.load_files(session, job.id)
    market = await asyncio.to_thread(_prepare, files, options, progress)
    for _ in range(_TRIES):
        try:
            await database.retrying(lambda: _write(database, job, market, options, progress, clock()))
        except (IntegrityError, Problem) as error:
            if isinstance(error, IntegrityError) and sqlstate(error) != _UNIQUE_VIOLATION:
                raise
            # Somebody added or changed a row between the comparison and the write: compare again.
            _log.warning("import_compared_again", job=str(job.id), error=str(error))
            continue
        return
    raise Refused(error_json(errors.KEPT_CHANGING))


def _prepare(files: dict[str, bytes], options: ImportOptions, progress: Progress) -> Market:
    market = read_market(files, progress)
    if options.start_at is not None:
        shift(market, options.start_at)
    if options.namespace is not None:
        into_namespace(market, options.namespace)
    return market


async def _write(
    database: Database, job: BulkJob, market: Market, options: ImportOptions, progress: Progress, now: datetime
) -> None:
    async with database.write(scope_of(job)) as session:
        await repository.be_patient(session, statement_seconds=600, lock_seconds=60)
        await repository.enter_imports(session)
        progress.begin("checking", sum(len(table.rows) for table in market.tables))
        importer = await _importer(session, job, options)
        existing = await _load_existing(session, market, for_update=options.update)
        plan = await asyncio.to_thread(
            make_plan, market, existing, importer, update=options.update, skip_bad=options.skip_bad
        )
        readable = all(table.readable for table in market.tables)
        if plan.bad and not (options.skip_bad and readable):
            raise Refused(error_json(errors.BAD_ROWS, plan.bad, count=len(plan.bad)))
        if not options.dry_run:
            writer = _Writer(session, job, market, existing, plan, progress, now, options.namespace)
            await writer.run()
        if not await repository.finish_job(
            session,
            job.id,
            job.attempt,
            now=now,
            progress=progress.as_json(),
            result=import_result(plan, dry_run=options.dry_run),
        ):
            raise Stopped


async def _importer(session: ReadSession, job: BulkJob, options: ImportOptions) -> Importer:
    refs = await repository.own_refs(session, job.org_id)
    return Importer(
        is_desk=Role.DESK.value in options.roles,
        supplier=refs.get(Role.SUPPLIER.value) if Role.SUPPLIER.value in options.roles else None,
        buyer=refs.get(Role.BUYER.value) if Role.BUYER.value in options.roles else None,
    )


async def _load_existing(session: WriteSession, market: Market, *, for_update: bool) -> Existing:
    offers = [at.row for at in market.offers.rows] if market.offers else []
    requests = [at.row for at in market.requests.rows] if market.requests else []
    buyers = {at.row.ref for at in market.buyers.rows} if market.buyers else set[str]()
    suppliers = {at.row.ref for at in market.suppliers.rows} if market.suppliers else set[str]()
    buyers |= {row.buyer for row in requests}
    suppliers |= {row.supplier for row in offers}
    suppliers |= {ref for row in requests for ref in (*row.suppliers_allowed, *row.suppliers_refused)}
    offer_keys, request_keys = [row.key for row in offers], [row.key for row in requests]
    if for_update:
        await reading_repository.lock_market(session, offer_keys, request_keys)
    known_buyers = await reading_repository.find_organisations(session, Role.BUYER, refs=buyers)
    known_suppliers = await reading_repository.find_organisations(session, Role.SUPPLIER, refs=suppliers)
    known_offers = await reading_repository.find_named_offers(session, offer_keys, with_usage=for_update)
    known_requests = await reading_repository.find_named_requests(session, request_keys)
    return Existing(
        chips={chip.name: chip for chip in await reading_repository.find_chips(session)},
        buyers={known.row.ref: known for known in known_buyers},
        suppliers={known.row.ref: known for known in known_suppliers},
        offers={known.row.key: known for known in known_offers},
        requests={known.row.key: known for known in known_requests},
        largest_gang=await reading_repository.largest_gang(session),
    )


class _Writer:
    """Carries out one plan in an open transaction."""

    def __init__(
        self,
        session: WriteSession,
        job: BulkJob,
        market: Market,
        existing: Existing,
        plan: Plan,
        progress: Progress,
        now: datetime,
        namespace: str | None,
    ) -> None:
        self._session = session
        self._desk = job.org_id
        self._plan = plan
        self._progress = progress
        self._now = now
        self._prefix = "" if namespace is None else namespace + SEPARATOR
        self._buyers = {ref: known.id for ref, known in existing.buyers.items()}
        self._suppliers = {ref: known.id for ref, known in existing.suppliers.items()}
        begins = (earliest_time(market) or now).astimezone(_SHANGHAI)
        self._year_start = date(begins.year, 1, 1)

    async def run(self) -> None:
        """Write everything of the plan, what is referred to first."""
        plan, session, now = self._plan, self._session, self._now
        rows = (plan.new_suppliers, plan.new_buyers, plan.new_offers, plan.new_requests)
        changes = (plan.changed_organisations, plan.changed_offers, plan.changed_requests)
        self._progress.begin("writing", sum(map(len, (*rows, *changes, plan.new_chips, plan.changed_chips))))
        for chips in self._chunks(plan.new_chips):
            await writing_repository.insert_chips(session, chips)
        for chips in self._chunks(plan.changed_chips):
            await writing_repository.update_chips(session, chips)
        await self._organisations(Role.SUPPLIER, plan.new_suppliers, self._suppliers)
        await self._organisations(Role.BUYER, plan.new_buyers, self._buyers)
        await self._changed_organisations()
        # The order of the lock rules: requests before offers.
        for chunk in self._chunks(plan.new_requests):
            new = [(new_id(), self._buyers[row.buyer], row) for row in chunk]
            await writing_repository.insert_requests(session, new)
        for chunk in self._chunks(plan.changed_requests):
            changed = [(request_id, self._buyers[row.buyer], row) for request_id, row in chunk]
            await writing_repository.update_requests(session, changed)
        for chunk in self._chunks(plan.new_offers):
            listed = [(new_id(), self._suppliers[row.supplier], row) for row in chunk]
            await writing_repository.insert_offers(session, listed, now)
        for chunk in self._chunks(plan.changed_offers):
            edited = [(offer_id, self._suppliers[row.supplier], row) for offer_id, row in chunk]
            await writing_repository.update_offers(session, edited, now)

    def _chunks(self, rows: Sequence[Item]) -> Iterator[Sequence[Item]]:
        for start in range(0, len(rows), CHUNK):
            chunk = rows[start : start + CHUNK]
            yield chunk
            self._progress.advance(len(chunk))

    async def _organisations(self, role: Role, rows: Sequence[OrganisationRow], ids: dict[str, UUID]) -> None:
        facts: list[tuple[UUID, str, str | int | bool, date]] = []
        for chunk in self._chunks(rows):
            made: list[tuple[UUID, str, str, str | None]] = []
            for row in chunk:
                org_id = ids[row.ref] = new_id()
                made.append((org_id, row.ref, row.name or row.ref.removeprefix(self._prefix), row.contact))
                facts += [(org_id, key, value, self._year_start) for key, value in row.facts.items()]
            await writing_repository.insert_organisations(self._session, role.value, made, self._now)
        await writing_repository.insert_facts(self._session, facts, desk=self._desk, now=self._now)

    async def _changed_organisations(self) -> None:
        facts: list[tuple[UUID, str, str | int | bool, date]] = []
        for chunk in self._chunks(self._plan.changed_organisations):
            for known, row in chunk:
                facts += [
                    (known.id, key, value, self._fact_date(known, key))
                    for key, value in row.facts.items()
                    if known.row.facts.get(key) != value
                ]
            named = [(known.id, row.name, row.contact) for known, row in chunk if row.name or row.contact]
            await writing_repository.rename_organisations(self._session, named)
        await writing_repository.insert_facts(self._session, facts, desk=self._desk, now=self._now)

    def _fact_date(self, known: KnownOrganisation, key: str) -> date:
        """Facts are never overwritten: a changed one holds from today, or from the day after the last on record."""
        wanted = max(self._year_start, self._now.astimezone(_SHANGHAI).date())
        last = known.last.get(key)
        return wanted if last is None or last < wanted else last + timedelta(days=1)
