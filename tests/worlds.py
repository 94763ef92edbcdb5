"""A small world with a row of everything: one offer, one request, one hold, two buyers and a supplier."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import pytest

from app.catalog.models import CapacityStep, ChipModel, Offer
from app.demand.models import Alternative, ComputeRequest
from app.kit.db import SYSTEM, Database
from app.kit.ids import new_id
from app.kit.time import HOUR, ceil_hour
from app.matching.models import Quote
from app.reservations.models import Reservation
from tests.conftest import Actor, Clock, MakeActor


@dataclass
class World:
    buyer: Actor
    rival: Actor
    supplier: Actor
    offer: UUID
    request: UUID
    reservation: UUID
    quote: UUID


@pytest.fixture
async def world(app_database: Database, make_actor: MakeActor, clock: Clock) -> World:
    buyer, rival, supplier = [await make_actor(role) for role in ("buyer", "buyer", "supplier")]
    start = ceil_hour(clock())
    offer_id, request_id, reservation_id, quote_id = new_id(), new_id(), new_id(), new_id()
    async with app_database.write(SYSTEM) as session:
        session.add(ChipModel(name="A100 80G"))
        await session.flush()
        session.add(
            Offer(
                id=offer_id,
                supplier_org_id=supplier.org_id,
                ref="o",
                region="r",
                chip_model="A100 80G",
                cards_per_node=8,
                price_fen=1000,
                list_price_fen=2000,
            )
        )
        await session.flush()
        session.add_all(
            [
                CapacityStep(offer_id=offer_id, starts_at=start, cards=8),
                CapacityStep(offer_id=offer_id, starts_at=start + 100 * HOUR, cards=0),
            ]
        )
        request = ComputeRequest(
            id=request_id,
            buyer_org_id=buyer.org_id,
            ref="q",
            submitted_at=clock(),
            earliest_start=start,
            deadline=start + 50 * HOUR,
            state="matched",
            alternatives=[Alternative(position=0, chips="any", cards=4, hours=10, max_net_price_fen=1000)],
        )
        session.add(request)
        await session.flush()
        session.add(
            Reservation(
                id=reservation_id,
                offer_id=offer_id,
                request_id=request_id,
                block=0,
                buyer_org_id=buyer.org_id,
                supplier_org_id=supplier.org_id,
                cards=4,
                starts_at=start,
                ends_at=start + 10 * HOUR,
                hold_ends_at=start,
                price_fen=1000,
                cost_fen=40_000,
                net_fen=40_000,
            )
        )
        session.add(
            Quote(
                id=quote_id, buyer_org_id=buyer.org_id, need={}, options=[], expires_at=clock() + timedelta(minutes=10)
            )
        )
    return World(buyer, rival, supplier, offer_id, request_id, reservation_id, quote_id)
