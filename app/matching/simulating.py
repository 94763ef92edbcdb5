"""What a programme would have given the contracts and requests on record: a draft held against history.

A reservation that holds or ran is a contract of the day it was made; they are decided in that order, each by the facts
of its day, and what one gets the next ones lack. An open request is looked at alone, at the most that its buyer pays.
Nothing is stored. Runs as the system.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import selectinload

from app.catalog.models import ChipModel, Offer
from app.demand.models import ComputeRequest, RequestState
from app.demand.spec import whole_hours
from app.kit.db import ReadSession
from app.kit.money import parse_cny
from app.kit.time import HOUR
from app.reservations.models import LIVE, Reservation
from app.vouchers import standing
from app.vouchers.facts import ContractFacts, Facts, Item, SupplierFacts
from app.vouchers.policy import Programme
from app.vouchers.rules import Left, TierDecision, contract_year, decide, signing_day

MAX_CONTRACTS: Final = 50_000
_OPEN: Final = (RequestState.OPEN.value, RequestState.PARTLY_MATCHED.value)


@dataclass(frozen=True, slots=True)
class _Signed:
    """A contract on record; without a supplier, what a request asks for."""

    contract: ContractFacts
    buyer: UUID
    request: UUID
    supplier: UUID | None
    subsidy_fen: int


@dataclass
class Tally:
    """Contracts: how many, how many are eligible and given something, what they cost and get, by clause why not."""

    contracts: int = 0
    eligible: int = 0
    granted: int = 0
    cost_fen: int = 0
    amount_fen: int = 0
    subsidised_fen: int = 0
    missed: Counter[str] = field(default_factory=Counter[str])

    def count(self, signed: _Signed, found: TierDecision) -> None:
        """Add a contract and what it gets."""
        self.contracts += 1
        self.eligible += not found.unmet
        self.granted += found.amount_fen > 0
        self.cost_fen += signed.contract.amount_fen
        self.amount_fen += found.amount_fen
        self.subsidised_fen += signed.subsidy_fen
        self.missed.update(found.unmet)


@dataclass
class Simulation:
    """What became of contracts, by year, and of the open requests; `left_fen` is what the pools keep."""

    years: dict[int, Tally]
    left_fen: dict[int, int | None]
    requests: Tally


class _Budgets:
    """What is left of a programme's caps while contracts are decided one after another."""

    def __init__(self, programme: Programme) -> None:
        self._programme = programme
        self._used: dict[tuple[object, ...], int] = defaultdict(int)

    def left(self, buyer: UUID, year: int) -> Left:
        """Return what is left for a buyer in a year."""
        programme = self._programme
        return Left(
            pool_fen=self._rest(programme.pool_year_cny, "pool", year),
            buyer_year_fen=self._rest(programme.buyer_year_cny, "buyer", buyer, year),
            tier_fen={tier.id: self._rest(tier.total_cny, "tier", tier.id, buyer) for tier in programme.tiers},
        )

    def _rest(self, cap: str | None, *key: object) -> int | None:
        return None if cap is None else parse_cny(cap) - self._used[key]

    def draw(self, buyer: UUID, year: int, found: TierDecision) -> None:
        """Take what a contract gets."""
        for key in (("pool", year), ("buyer", buyer, year), ("tier", found.tier, buyer)):
            self._used[key] += found.amount_fen


async def simulate(session: ReadSession, programme: Programme) -> Simulation:
    """Decide every contract on record, in the order they were made, and every open request by itself."""
    signed = await _contracts(session, programme)
    wanted = await _requests(session)
    facts = await _Facts.load(session, programme, [*signed, *wanted])
    budgets = _Budgets(programme)
    years: dict[int, Tally] = defaultdict(Tally)
    for each in signed:
        year = contract_year(programme, each.contract.signed_at)
        buyer, supplier = facts.of(each)
        found = decide(programme, each.contract, buyer, supplier, budgets.left(each.buyer, year)).best
        budgets.draw(each.buyer, year, found)
        years[year].count(each, found)
    requests = Tally()
    for each in wanted:
        buyer, supplier = facts.of(each)
        year = contract_year(programme, each.contract.signed_at)
        requests.count(each, decide(programme, each.contract, buyer, supplier, budgets.left(each.buyer, year)).best)
    left = {year: budgets.left(UUID(int=0), year).pool_fen for year in years}
    return Simulation(dict(sorted(years.items())), left, requests)


@dataclass(frozen=True)
class _Facts:
    """Facts of organisations by day; an open request's supplier is a partner that isn't affiliated."""

    programme: Programme
    buyers: dict[date, dict[UUID, Facts]]
    suppliers: dict[date, dict[UUID, SupplierFacts]]
    groups: dict[date, dict[UUID, int]]

    @classmethod
    async def load(cls, session: ReadSession, programme: Programme, signed: Sequence[_Signed]) -> "_Facts":
        """Read the facts of each day that has a contract."""
        by_day: dict[date, list[_Signed]] = defaultdict(list)
        for each in signed:
            by_day[signing_day(programme, each.contract.signed_at)].append(each)
        found = cls(programme, {}, {}, {})
        for day, those in by_day.items():
            suppliers = {each.supplier for each in those if each.supplier is not None}
            found.buyers[day] = await standing.load_buyers(session, {each.buyer for each in those}, day)
            found.suppliers[day] = await standing.load_suppliers(session, suppliers, frozenset({programme.id}), day)
            found.groups[day] = await standing.load_groups(session, day)
        return found

    def of(self, signed: _Signed) -> tuple[Facts, SupplierFacts]:
        """Return the facts of a contract's parties on its day."""
        day = signing_day(self.programme, signed.contract.signed_at)
        buyer = self.buyers[day][signed.buyer]
        if signed.supplier is None:
            return buyer, SupplierFacts(partner_of=frozenset({self.programme.id}), affiliated=False)
        known = self.suppliers[day][signed.supplier]
        related = standing.affiliated(self.groups[day], signed.supplier, signed.buyer)
        return buyer, SupplierFacts(
            name=known.name,
            partner_of=known.partner_of,
            batches=known.batches,
            affiliated=related,
            centre_pflops=known.centre_pflops,
            centre_racks=known.centre_racks,
            supercomputing=known.supercomputing,
        )


async def _contracts(session: ReadSession, programme: Programme) -> list[_Signed]:
    rows = await session.execute(
        select(Reservation, ChipModel.domestic, ComputeRequest.blocks)
        .join(Offer, Offer.id == Reservation.offer_id)
        .join(ChipModel, ChipModel.name == Offer.chip_model)
        .join(ComputeRequest, ComputeRequest.id == Reservation.request_id)
        .where(Reservation.state.in_(LIVE))
        .order_by(Reservation.created_at, Reservation.id)
        .limit(MAX_CONTRACTS)
    )
    record: dict[tuple[UUID, int], dict[UUID, int]] = defaultdict(lambda: defaultdict(int))
    found: list[_Signed] = []
    for reservation, domestic, blocks in rows:
        own = record[reservation.buyer_org_id, contract_year(programme, reservation.created_at)]
        contract = ContractFacts(
            signed_at=reservation.created_at,
            items=(Item("compute", reservation.cost_fen),),
            hours=(reservation.ends_at - reservation.starts_at) // HOUR,
            domestic=domestic,
            blocks=blocks,
            year_contracts_fen=sum(fen for request, fen in own.items() if request != reservation.request_id),
        )
        own[reservation.request_id] += reservation.cost_fen
        parties = (reservation.buyer_org_id, reservation.request_id, reservation.supplier_org_id)
        found.append(_Signed(contract, *parties, reservation.subsidy_fen))
    return found


async def _requests(session: ReadSession) -> list[_Signed]:
    """Return open requests as contracts at the most that their buyers pay, by their first alternative."""
    rows = await session.scalars(
        select(ComputeRequest)
        .where(ComputeRequest.state.in_(_OPEN))
        .order_by(ComputeRequest.submitted_at, ComputeRequest.id)
        .limit(MAX_CONTRACTS)
        .options(selectinload(ComputeRequest.alternatives))
    )
    found: list[_Signed] = []
    for request in rows:
        first = request.alternatives[0]
        hours = whole_hours(first.hours)
        contract = ContractFacts(
            signed_at=request.submitted_at,
            items=(Item("compute", first.max_net_price_fen * first.cards * hours),),
            hours=hours,
            domestic=request.domestic,
            blocks=request.blocks,
        )
        found.append(_Signed(contract, request.buyer_org_id, request.id, None, 0))
    return found
