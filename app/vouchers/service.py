"""Programmes stored and opened for a year, and the earmarks of reservations.

Earmarks are taken and released in the transaction that holds or ends the reservation, as the system, after the
reservations: the ledger's accounts come last in the order of locks.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from app.kit.db import ReadSession, WriteSession
from app.kit.errors import NOT_FOUND
from app.kit.ids import new_id
from app.ledger import service as ledger
from app.ledger.models import Account, Guard, TransferKind
from app.ledger.repository import NewAccount, NewTransfer
from app.vouchers import budgets as caps
from app.vouchers import repository
from app.vouchers.budgets import Budgets, Earmark, Quota
from app.vouchers.errors import OTHER_VERSION, PROGRAMME_NOT_OPEN, UNKNOWN_TIER
from app.vouchers.models import ProgrammeVersion, ProgrammeYear, VersionState, VoucherKind
from app.vouchers.programmes import parse_programme, shipped_programmes, shipped_text

_Year = tuple[ProgrammeYear, ProgrammeVersion]


async def store_shipped_programmes(session: WriteSession, now: datetime) -> list[str]:
    """Store the shipped programmes that the database lacks, published; return the ids of those added (as the system).

    What is stored stays as it is, whatever a later release ships under the same version.
    """
    texts = {programme: shipped_text(programme) for programme in shipped_programmes()}
    return await store_programmes(session, texts.values(), now)


async def store_programmes(session: WriteSession, texts: Collection[str], now: datetime) -> list[str]:
    """Store programmes given as TOML under their own ids and versions, published; return the ids of those added.

    Raises:
        ProgrammeError: telling each fault of a text by line and key.
    """
    rows: list[dict[str, object]] = []
    for text in texts:
        programme = parse_programme(text, "programme")
        rows.append(
            {
                "programme_id": programme.id,
                "version": programme.version,
                "toml": text,
                "sha256": hashlib.sha256(text.encode()).hexdigest(),
                "state": VersionState.PUBLISHED.value,
                "created_at": now,
            }
        )
    return await repository.store_versions(session, rows)


async def list_programmes(session: ReadSession) -> list[tuple[ProgrammeVersion, list[ProgrammeYear]]]:
    """Return the newest published version of each programme, with the years it is open for."""
    newest = {version.programme_id: version for version in await repository.find_versions(session)}
    years = await repository.find_years(session)
    return [(row, [year for year in years if year.programme_id == row.programme_id]) for row in newest.values()]


async def get_programme(session: ReadSession, programme: str) -> tuple[ProgrammeVersion, list[ProgrammeYear]]:
    """Return the newest published version of a programme, with the years it is open for.

    Raises:
        Problem: `not_found`.
    """
    versions = await repository.find_versions(session, programme)
    if not versions:
        raise NOT_FOUND.problem(what="programme")
    return versions[-1], await repository.find_years(session, programme)


async def open_programme(
    session: WriteSession,
    programme: str,
    year: int,
    *,
    pool_fen: int | None,
    buyer_year_fen: int | None,
    now: datetime,
) -> ProgrammeYear:
    """Open the newest version of a programme for a year (the desk); amounts left out are the programme's own.

    Raises:
        Problem: `not_found`; `programme_year_open` at the edge.
    """
    version, _ = await get_programme(session, programme)
    own = caps.programme_of(version.toml, version.sha256)
    return await open_year(
        session,
        programme,
        version.version,
        year,
        caps.cny_fen(own.pool_year_cny) if pool_fen is None else pool_fen,
        caps.cny_fen(own.buyer_year_cny) if buyer_year_fen is None else buyer_year_fen,
        now=now,
    )


async def open_year(
    session: WriteSession,
    programme: str,
    version: int,
    year: int,
    pool_fen: int | None,
    buyer_year_fen: int | None,
    *,
    now: datetime,
) -> ProgrammeYear:
    """Open a programme for a year: record it, open its accounts and fill the pool. None is no cap.

    Args:
        session: a transaction with the desk's or the system's eyes.
        programme: its id.
        version: which stored version vouchers of this year are under.
        year: the calendar year in the programme's time zone.
        pool_fen: what all buyers may get.
        buyer_year_fen: what one buyer may get.
        now: the present.

    Raises:
        Problem: `not_found` for a version that is not stored or not published; `programme_year_open` at the edge.
    """
    stored = await repository.get_version(session, programme, version)
    if stored is None or stored.state != VersionState.PUBLISHED.value:
        raise NOT_FOUND.problem(what="programme")
    opened = await repository.insert_year(
        session,
        {
            "programme_id": programme,
            "year": year,
            "programme_version": version,
            "pool_fen": pool_fen,
            "buyer_year_fen": buyer_year_fen,
            "opened_at": now,
        },
    )
    treasury, pool = caps.treasury_name(programme), caps.pool_name(programme, year)
    sources = [caps.quota_source_name(programme, year)]
    totals = caps.tier_totals(caps.programme_of(stored.toml, stored.sha256))
    sources += [caps.tier_source_name(programme, tier) for tier in totals]
    await ledger.open_accounts(
        session,
        [
            NewAccount(treasury, caps.TREASURY, Guard.NONE),
            NewAccount(pool, caps.POOL, caps.guard_of(pool_fen)),
            *(NewAccount(source, caps.QUOTA_SOURCE, Guard.NONE) for source in sources),
        ],
    )
    if pool_fen:
        accounts = await ledger.accounts_by_name(session, [treasury, pool])
        fill = NewTransfer(new_id(), accounts[treasury].id, accounts[pool].id, pool_fen, TransferKind.SINGLE)
        await ledger.post_transfers(session, [fill])
    return opened


async def take_earmarks(session: WriteSession, earmarks: Sequence[Earmark], *, now: datetime) -> list[UUID]:
    """Set subsidies aside, all or none: a voucher for each, its pending legs on the pool and the buyer's quotas.

    All legs are posted by one statement, so that the accounts are locked in id order.

    Args:
        session: the transaction that holds the reservations, as the system.
        earmarks: at most one for each reservation and programme, each positive.
        now: the present.

    Returns:
        The vouchers' ids, in the order given.

    Raises:
        Problem: `programme_not_open`, `programme_version`, `unknown_tier`; `funds_exhausted` and `voucher_taken` at
            the edge.
    """
    if not earmarks:
        return []
    years = await repository.open_years(session, {(each.programme, each.year) for each in earmarks})
    quotas = [_quotas_of(each, years) for each in earmarks]
    ids = [new_id() for _ in earmarks]
    wanted = {quota.account: quota for each in quotas for quota in each}
    vouchers = [
        NewAccount(caps.voucher_account_name(voucher), caps.VOUCHER, Guard.DEBITS_LE_CREDITS, each.buyer_org_id)
        for voucher, each in zip(ids, earmarks, strict=True)
    ]
    fresh = await ledger.open_accounts(session, [*(quota.new_account for quota in wanted.values()), *vouchers])
    names = {row.name for row in vouchers} | set(wanted) | {quota.source for quota in wanted.values()}
    names |= {caps.pool_name(each.programme, each.year) for each in earmarks}
    accounts = await ledger.accounts_by_name(session, names)
    await repository.insert_vouchers(
        session,
        [
            {
                "id": voucher,
                "subject_id": each.reservation_id,
                "buyer_org_id": each.buyer_org_id,
                "programme_id": each.programme,
                "programme_version": each.version,
                "tier": each.tier,
                "year": each.year,
                "amount_fen": each.amount_fen,
                "kind": (VoucherKind.CONTRACT if each.bonus_of is None else VoucherKind.BONUS).value,
                "bonus_of": each.bonus_of,
                "account_id": accounts[caps.voucher_account_name(voucher)].id,
            }
            for voucher, each in zip(ids, earmarks, strict=True)
        ],
        now,
    )
    legs = _fills([wanted[name] for name in sorted(fresh & wanted.keys())], accounts)
    for voucher, each, drawn in zip(ids, earmarks, quotas, strict=True):
        ways = [(caps.pool_name(each.programme, each.year), caps.voucher_account_name(voucher))]
        ways += [(quota.account, quota.source) for quota in drawn]
        legs += [
            NewTransfer(
                id=new_id(),
                debit_id=accounts[source].id,
                credit_id=accounts[target].id,
                amount_fen=each.amount_fen,
                kind=TransferKind.PENDING,
                subject=voucher,
            )
            for source, target in ways
        ]
    await ledger.post_transfers(session, legs)
    return ids


def _quotas_of(earmark: Earmark, years: Mapping[tuple[str, int], _Year]) -> list[Quota]:
    """Return the buyer's quotas that an earmark draws on."""
    found = years.get((earmark.programme, earmark.year))
    if found is None:
        raise PROGRAMME_NOT_OPEN.problem(programme=earmark.programme, year=earmark.year)
    year, version = found
    if version.version != earmark.version:
        raise OTHER_VERSION.problem(
            programme=earmark.programme, year=earmark.year, open=version.version, version=earmark.version
        )
    programme = caps.programme_of(version.toml, version.sha256)
    if earmark.tier not in {tier.id for tier in programme.tiers}:
        raise UNKNOWN_TIER.problem(programme=earmark.programme, version=earmark.version, tier=earmark.tier)
    quotas = [caps.buyer_quota(earmark.programme, earmark.buyer_org_id, earmark.year, year.buyer_year_fen)]
    total = caps.tier_totals(programme).get(earmark.tier)
    if total is not None:
        quotas.append(caps.tier_quota(earmark.programme, earmark.tier, earmark.buyer_org_id, total))
    return quotas


def _fills(quotas: Collection[Quota], accounts: Mapping[str, Account]) -> list[NewTransfer]:
    """Return the transfers that give fresh quotas their caps."""
    return [
        NewTransfer(new_id(), accounts[quota.source].id, accounts[quota.account].id, quota.cap_fen, TransferKind.SINGLE)
        for quota in quotas
        if quota.cap_fen
    ]


async def release_earmarks(
    session: WriteSession, reservation_ids: Collection[UUID], kind: TransferKind = TransferKind.VOID
) -> int:
    """Void the earmarks of reservations, locked before, and give their amounts back to the budgets (as the system).

    Args:
        session: the transaction that ends the reservations.
        reservation_ids: those without an earmark are left alone.
        kind: `void` where somebody ended the reservation, `expire` where its time ran out.

    Returns:
        How many vouchers were voided.
    """
    if not reservation_ids:
        return 0
    voided = await repository.void_vouchers(session, reservation_ids)
    if voided:
        await ledger.release_pending(session, voided, kind)
    return len(voided)


async def load_budgets(session: ReadSession, programme: str, year: int, buyers: Collection[UUID]) -> Budgets:
    """Return what is left of a programme's caps in a year (as the system, or one who reads all).

    Raises:
        Problem: `programme_not_open`.
    """
    return (await _budgets(session, {(programme, year): buyers}))[programme, year]


async def lock_budgets(
    session: WriteSession, wanted: Mapping[tuple[str, int], Collection[UUID]]
) -> dict[tuple[str, int], Budgets]:
    """Return what is left of programmes' caps by `(programme, year)`, and keep it so until the transaction's end.

    For whoever must decide what fits before it earmarks, as a clearing's apply: after it, `take_earmarks` within
    these amounts is never refused. Runs as the system, after offers are locked.

    Raises:
        Problem: `programme_not_open`.
    """
    years = await _open_years(session, wanted)
    quotas = {quota.account: quota for key, found in years.items() for quota in _all_quotas(found, wanted[key])}
    fresh = await ledger.open_accounts(session, [quota.new_account for quota in quotas.values()])
    names = {caps.pool_name(*key) for key in wanted} | set(quotas) | {quota.source for quota in quotas.values()}
    accounts = await ledger.accounts_by_name(session, names)
    await ledger.lock_accounts(session, [account.id for account in accounts.values()])
    await ledger.post_transfers(session, _fills([quotas[name] for name in sorted(fresh)], accounts))
    return await _budgets(session, wanted)


async def versions_open(session: ReadSession, keys: Collection[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """Return the version that each programme is open under, of those that are open for the year."""
    found = await repository.open_years(session, keys) if keys else {}
    return {key: version.version for key, (_, version) in found.items()}


async def _open_years(session: ReadSession, keys: Collection[tuple[str, int]]) -> dict[tuple[str, int], _Year]:
    years = await repository.open_years(session, keys)
    for programme, year in keys:
        if (programme, year) not in years:
            raise PROGRAMME_NOT_OPEN.problem(programme=programme, year=year)
    return years


def _all_quotas(found: _Year, buyers: Collection[UUID]) -> list[Quota]:
    year, version = found
    programme = year.programme_id
    totals = caps.tier_totals(caps.programme_of(version.toml, version.sha256))
    quotas = [caps.buyer_quota(programme, buyer, year.year, year.buyer_year_fen) for buyer in buyers]
    quotas += [caps.tier_quota(programme, tier, buyer, total) for tier, total in totals.items() for buyer in buyers]
    return quotas


async def _budgets(
    session: ReadSession, wanted: Mapping[tuple[str, int], Collection[UUID]]
) -> dict[tuple[str, int], Budgets]:
    years = await _open_years(session, wanted)
    names = {caps.pool_name(*key) for key in wanted}
    names |= {quota.account for key, found in years.items() for quota in _all_quotas(found, wanted[key])}
    accounts = await ledger.accounts_by_name(session, names)

    def left(quota: Quota) -> int | None:
        account = accounts.get(quota.account)
        return quota.cap_fen if quota.cap_fen is None or account is None else account.left_fen

    answer: dict[tuple[str, int], Budgets] = {}
    for (programme, year), (row, version) in years.items():
        buyers = wanted[programme, year]
        totals = caps.tier_totals(caps.programme_of(version.toml, version.sha256))
        pool = accounts[caps.pool_name(programme, year)]
        answer[programme, year] = Budgets(
            pool_fen=None if row.pool_fen is None else pool.left_fen,
            buyer_fen={buyer: left(caps.buyer_quota(programme, buyer, year, row.buyer_year_fen)) for buyer in buyers},
            tier_fen={
                (tier, buyer): left(caps.tier_quota(programme, tier, buyer, total)) or 0
                for tier, total in totals.items()
                for buyer in buyers
            },
        )
    return answer
