"""Outcome → reservations, in one transaction: what the present has overtaken is dropped with a reason.

Locks as everywhere: requests → offers (and their books) → accounts, each by id. After them nothing that a match rests
on can change, so that what is decided in memory is what the database takes.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import numpy as np
from sqlalchemy import BigInteger, DateTime, Uuid, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import selectinload

from app.catalog.models import Offer
from app.catalog.repository import Steps, load_steps, load_usage
from app.demand import service as demand
from app.demand.models import ComputeRequest
from app.kit.db import WriteSession
from app.kit.ids import new_id
from app.kit.time import HOUR, LATEST, from_hour_index, hour_index
from app.matching import repository
from app.matching.clearing_errors import Loss
from app.matching.core.outcome import I64, Match, Outcome
from app.matching.search import next_hour
from app.matching.snapshot import (
    OPEN,
    Snapshot,
    asked_of,
    be_patient,
    content_of,
    listed_as,
    live_blocks,
    residual,
    terms_of,
)
from app.matching.subsidies import Eligibility, Taken, load_eligibility, years_of
from app.reservations.holding import earmarks_of
from app.vouchers import service as vouchers
from app.vouchers.budgets import Budgets, Component

HOLD: Final = timedelta(hours=72)
_IDS: Final = bindparam("ids", type_=ARRAY(Uuid()))
_LOCK_BOOKS: Final = text("SELECT offer_books_lock(:ids)").bindparams(_IDS)
_COLUMNS: Final = {
    "id": Uuid(),
    "offer_id": Uuid(),
    "request_id": Uuid(),
    "block": BigInteger(),
    "buyer_org_id": Uuid(),
    "supplier_org_id": Uuid(),
    "cards": BigInteger(),
    "starts_at": DateTime(timezone=True),
    "ends_at": DateTime(timezone=True),
    "hold_ends_at": DateTime(timezone=True),
    "supplier_accepted_at": DateTime(timezone=True),
    "price_fen": BigInteger(),
    "cost_fen": BigInteger(),
    "subsidy_fen": BigInteger(),
    "net_fen": BigInteger(),
}
# One statement, so that the guard sweeps each offer once.
_INSERT: Final = text(
    f"""
    INSERT INTO reservation ({", ".join(_COLUMNS)}, state, version, created_at, updated_at)
    SELECT {", ".join(f"r.{name}" for name in _COLUMNS)}, 'held', 1, :now, :now
    FROM unnest({", ".join(f":{name}" for name in _COLUMNS)}) AS r ({", ".join(_COLUMNS)})
    """  # noqa: S608  names of columns
).bindparams(
    bindparam("now", type_=DateTime(timezone=True)),
    *(bindparam(name, type_=ARRAY(kind)) for name, kind in _COLUMNS.items()),
)


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of an outcome's matches, by their positions."""

    reservations: Mapping[int, UUID]
    losses: Mapping[int, Loss]


@dataclass
class _Present:
    """What the matches are held against, and what is left of it as they are taken."""

    now: datetime
    snapshot: Snapshot
    requests: Mapping[UUID, ComputeRequest]
    offers: Mapping[UUID, Offer]
    approved: set[UUID]
    live: Mapping[UUID, frozenset[int]]
    free: Mapping[UUID, tuple[int, I64]]
    budgets: Mapping[tuple[str, int], Budgets]
    ended: Mapping[str, Loss]
    eligible: Eligibility
    used: dict[tuple[object, ...], int] = field(default_factory=lambda: defaultdict[tuple[object, ...], int](int))

    def take(self, match: Match) -> Loss | None:
        """Take capacity and budget for a match, or tell why it is lost; then nothing was taken."""
        loss = self._overtaken(match) or self._not_given(match)
        if loss is not None:
            return loss
        asker, seller = self.snapshot.askers[match.request], self.snapshot.sellers[match.offer]
        hours = self._hours(match, seller.id)
        if hours.size < match.hours or int(hours.min()) < match.cards:
            return Loss.CAPACITY_TAKEN
        wanted = self._draws(match, asker.buyer_org_id)
        if any(left is not None and self.used[key] + fen > left for key, left, fen in wanted):
            return Loss.BUDGET_EXHAUSTED
        hours -= match.cards
        for key, _, fen in wanted:
            self.used[key] += fen
        return None

    def _overtaken(self, match: Match) -> Loss | None:
        """Tell how a match's request, offer or start is not any more what was cleared."""
        asker, seller = self.snapshot.askers[match.request], self.snapshot.sellers[match.offer]
        request, offer = self.requests.get(asker.id), self.offers.get(seller.id)
        if request is None or request.buyer_org_id not in self.approved or content_of(request) != asker.content:
            return Loss.REQUEST_CHANGED
        if asker.blocks[match.block] in self.live.get(request.id, frozenset()):
            return Loss.BLOCK_TAKEN
        if request.state not in OPEN:
            return Loss.REQUEST_CHANGED
        if offer is None or offer.supplier_org_id not in self.approved or terms_of(offer) != seller.terms:
            return Loss.OFFER_CHANGED
        return Loss.START_PASSED if from_hour_index(match.start_hour) <= self.now else None

    def _not_given(self, match: Match) -> Loss | None:
        """Tell why a match's vouchers are not given any more, whatever is left of their budgets."""
        for subsidy in match.subsidies:
            if subsidy.programme in self.ended:
                return self.ended[subsidy.programme]
        asker, seller = self.snapshot.askers[match.request], self.snapshot.sellers[match.offer]
        taken = Taken(match.cost_fen, {(each.programme, each.tier): each.amount_fen for each in match.subsidies})
        return None if self.eligible.allows(asker.id, seller.id, taken) else Loss.NOT_ELIGIBLE

    def put_back(self, match: Match) -> None:
        """Give back what a match took."""
        hours = self._hours(match, self.snapshot.sellers[match.offer].id)
        hours += match.cards
        for key, _, fen in self._draws(match, self.snapshot.askers[match.request].buyer_org_id):
            self.used[key] -= fen

    def _hours(self, match: Match, offer_id: UUID) -> I64:
        begin, profile = self.free[offer_id]
        return profile[match.start_hour - begin : match.start_hour - begin + match.hours]

    def _draws(self, match: Match, buyer: UUID) -> list[tuple[tuple[object, ...], int | None, int]]:
        found: list[tuple[tuple[object, ...], int | None, int]] = []
        for subsidy in match.subsidies:
            key = (subsidy.programme, self.snapshot.years[subsidy.programme][0])
            left = self.budgets[key]
            found.append(((*key, "pool"), left.pool_fen, subsidy.amount_fen))
            found.append(((*key, "buyer", buyer), left.buyer_fen[buyer], subsidy.amount_fen))
            if (subsidy.tier, buyer) in left.tier_fen:
                tier = (subsidy.programme, subsidy.tier, buyer)
                found.append((tier, left.tier_fen[subsidy.tier, buyer], subsidy.amount_fen))
        return found


async def apply_outcome(session: WriteSession, snapshot: Snapshot, outcome: Outcome, now: datetime) -> Applied:
    """Hold what was matched, for 72 hours or until the start; what can't be held any more is lost with its reason.

    A loss below `min_blocks` loses all blocks of that request.

    Args:
        session: a transaction with the system's eyes; it holds its locks until it ends.
        snapshot: what was cleared.
        outcome: verified before.
        now: the present.

    Raises:
        Problem: what the ledger refuses; nothing that a match alone could bring about.
    """
    await be_patient(session, statement_seconds=120, lock_seconds=30)
    present = await _lock(session, snapshot, outcome, now)
    losses = _decide(present, outcome.matches)
    kept = [(position, match) for position, match in enumerate(outcome.matches) if position not in losses]
    ids = {position: new_id() for position, _ in kept}
    if kept:
        await _reserve(session, present, kept, ids)
    return Applied(ids, losses)


async def _lock(session: WriteSession, snapshot: Snapshot, outcome: Outcome, now: datetime) -> _Present:
    """Lock everything that the matches rest on, then read it."""
    askers = {snapshot.askers[match.request].id for match in outcome.matches}
    sellers = sorted({snapshot.sellers[match.offer].id for match in outcome.matches})
    rows = await session.scalars(
        select(ComputeRequest)
        .where(ComputeRequest.id == bindparam("ids", list(askers), type_=ARRAY(Uuid())).any_())
        .options(selectinload(ComputeRequest.alternatives))
        .order_by(ComputeRequest.id)
        .with_for_update(key_share=True, of=ComputeRequest)
        .execution_options(populate_existing=True)
    )
    requests = {request.id: request for request in rows}
    offers = await repository.lock_offers(session, sellers)
    await session.execute(_LOCK_BOOKS, {"ids": sellers})
    parties = {request.buyer_org_id for request in requests.values()}
    parties |= {offer.supplier_org_id for offer in offers.values()}
    approved = await repository.approved_organisations(session, parties)
    live = await live_blocks(session, askers)
    steps = await load_steps(session, sellers)
    usage = await load_usage(session, sellers, next_hour(now), LATEST)
    budgets, ended, eligible = await _lock_vouchers(session, snapshot, outcome, requests, offers, now)
    return _Present(
        now=now,
        snapshot=snapshot,
        requests=requests,
        offers=offers,
        approved=approved,
        live=live,
        free=_profiles(snapshot, outcome.matches, steps, usage, hour_index(next_hour(now))),
        budgets=budgets,
        ended=ended,
        eligible=eligible,
    )


async def _lock_vouchers(
    session: WriteSession,
    snapshot: Snapshot,
    outcome: Outcome,
    requests: Mapping[UUID, ComputeRequest],
    offers: Mapping[UUID, Offer],
    now: datetime,
) -> tuple[Mapping[tuple[str, int], Budgets], Mapping[str, Loss], Eligibility]:
    """Return what is left of the budgets, locked; the programmes that have ended, and how; and who may take what."""
    wanted: dict[str, set[UUID]] = defaultdict(set)
    for match in outcome.matches:
        for subsidy in match.subsidies:
            wanted[subsidy.programme].add(snapshot.askers[match.request].buyer_org_id)
    programmes = [programme for programme in snapshot.programmes if programme.id in wanted]
    present = years_of(programmes, now)
    opened = await vouchers.versions_open(session, {(name, snapshot.years[name][0]) for name in wanted})
    ended: dict[str, Loss] = {}
    for name in wanted:
        year, version = snapshot.years[name]
        if (name, year) not in opened:
            ended[name] = Loss.PROGRAMME_CLOSED
        elif opened[name, year] != version:
            ended[name] = Loss.PROGRAMME_CHANGED
        elif present[name][0] != year:
            ended[name] = Loss.YEAR_OVER
    drawn = {(name, snapshot.years[name][0]): found for name, found in wanted.items() if name not in ended}
    eligible = await load_eligibility(
        session,
        programmes,
        [asked_of(request, str(request.buyer_org_id)) for request in requests.values()],
        {offer_id: listed_as(offer) for offer_id, offer in offers.items()},
        now,
    )
    return await vouchers.lock_budgets(session, drawn) if drawn else {}, ended, eligible


def _profiles(
    snapshot: Snapshot, matches: Sequence[Match], steps: Mapping[UUID, Steps], usage: Mapping[UUID, Steps], now: int
) -> dict[UUID, tuple[int, I64]]:
    """Return the free cards of each hour that some match may use, by offer, with the first hour."""
    spans: dict[UUID, tuple[int, int]] = {}
    for match in matches:
        offer = snapshot.sellers[match.offer].id
        low, high = spans.get(offer, (match.start_hour, 0))
        spans[offer] = (min(low, match.start_hour), max(high, match.start_hour + match.hours))
    found: dict[UUID, tuple[int, I64]] = {}
    for offer, (low, high) in spans.items():
        profile = np.zeros(high - low, dtype=np.int64)
        for hour, cards in residual(steps[offer], usage[offer], now):
            profile[max(hour - low, 0) :] = cards
        found[offer] = (low, profile)
    return found


def _decide(present: _Present, matches: Sequence[Match]) -> dict[int, Loss]:
    """Return which matches are lost, request by request in the order of submission."""
    by_request: dict[str, list[int]] = defaultdict(list)
    for position, match in enumerate(matches):
        by_request[match.request].append(position)
    order = present.snapshot.instance.requests
    submitted = {request.ref: (request.submitted_at, request.ref) for request in order}
    losses: dict[int, Loss] = {}
    for ref in sorted(by_request, key=lambda each: submitted[each]):
        taken: list[int] = []
        for position in by_request[ref]:
            loss = present.take(matches[position])
            if loss is None:
                taken.append(position)
            else:
                losses[position] = loss
        request = present.requests.get(present.snapshot.askers[ref].id)
        if taken and request is not None:
            live = len(present.live.get(request.id, frozenset()))
            if live + len(taken) < request.min_blocks:
                for position in taken:
                    present.put_back(matches[position])
                    losses[position] = Loss.MIN_BLOCKS
    return losses


async def _reserve(
    session: WriteSession, present: _Present, kept: Sequence[tuple[int, Match]], ids: Mapping[int, UUID]
) -> None:
    """Insert the reservations, set the requests' states, take the earmarks: one statement per table."""
    rows = [_row(present, match, ids[position]) for position, match in kept]
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in _COLUMNS}
    await session.execute(_INSERT, columns | {"now": present.now})
    added: dict[UUID, int] = defaultdict(int)
    for row in rows:
        added[row["request_id"]] += 1
    live = {request: len(present.live.get(request, frozenset())) + count for request, count in added.items()}
    await demand.set_state_from_live(session, live)
    years = present.snapshot.years
    earmarks = [
        earmark
        for (position, match), row in zip(kept, rows, strict=True)
        for earmark in earmarks_of(
            ids[position],
            row["buyer_org_id"],
            [
                Component(s.programme, years[s.programme][1], s.tier, years[s.programme][0], s.amount_fen)
                for s in match.subsidies
            ],
        )
    ]
    await vouchers.take_earmarks(session, earmarks, now=present.now)


def _row(present: _Present, match: Match, reservation_id: UUID) -> dict[str, Any]:
    asker = present.snapshot.askers[match.request]
    offer = present.offers[present.snapshot.sellers[match.offer].id]
    start = from_hour_index(match.start_hour)
    return {
        "id": reservation_id,
        "offer_id": offer.id,
        "request_id": asker.id,
        "block": asker.blocks[match.block],
        "buyer_org_id": asker.buyer_org_id,
        "supplier_org_id": offer.supplier_org_id,
        "cards": match.cards,
        "starts_at": start,
        "ends_at": start + match.hours * HOUR,
        "hold_ends_at": min(present.now + HOLD, start),
        "supplier_accepted_at": present.now if offer.auto_accept else None,
        "price_fen": offer.price_fen,
        "cost_fen": match.cost_fen,
        "subsidy_fen": match.subsidy_fen,
        "net_fen": match.net_fen,
    }
