"""What buyers' contracts of a year come to, for rules that count them."""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Uuid, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from app.kit.db import ReadSession
from app.reservations.models import LIVE, Reservation


async def contracts_of_year(
    session: ReadSession, buyers: Collection[UUID], zone: ZoneInfo, moment: datetime
) -> dict[UUID, dict[UUID, int]]:
    """Return what buyers' live reservations of a moment's calendar year cost in fen, by buyer and request.

    A reservation is of the year in which it was made, in the time zone given. Runs as the system.
    """
    year = moment.astimezone(zone).year
    begins, ends = (datetime(each, 1, 1, tzinfo=zone) for each in (year, year + 1))
    ids = bindparam("ids", list(buyers), type_=ARRAY(Uuid()))
    rows = await session.execute(
        select(Reservation.buyer_org_id, Reservation.request_id, func.sum(Reservation.cost_fen))
        .where(
            Reservation.buyer_org_id == ids.any_(),
            Reservation.state.in_(LIVE),
            Reservation.created_at >= begins,
            Reservation.created_at < ends,
        )
        .group_by(Reservation.buyer_org_id, Reservation.request_id)
    )
    found: dict[UUID, dict[UUID, int]] = defaultdict(dict)
    for buyer, request, total in rows:
        found[buyer][request] = int(total)
    return found
