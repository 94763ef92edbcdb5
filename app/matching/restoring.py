"""What a clearing cleared, taken up again: a stored instance solved anew for a what-if."""

import asyncio
from dataclasses import replace
from uuid import UUID

from app.kit.db import ReadSession
from app.kit.ids import decode_id
from app.matching import clearing_repository as repository
from app.matching.clearing_options import ClearingIn
from app.matching.core.instance import Instance
from app.matching.results import Result, Run, unpack_clearing
from app.matching.snapshot import Asker, Seller, Snapshot
from app.matching.terms import with_numbers
from app.vouchers.programmes import Programme, with_settings


async def load_clearing(session: ReadSession, clearing_id: UUID) -> tuple[Instance, Result] | None:
    """Return what a clearing cleared and what came out, `None` where it has no outcome."""
    file = await repository.get_file(session, clearing_id)
    return None if file is None else await asyncio.to_thread(unpack_clearing, file.instance, file.outcome)


def programmes_of(base: Run, wanted: ClearingIn) -> tuple[Programme, ...]:
    """Return the base's programmes, or those of them that are wanted, with other numbers where these are set.

    Raises:
        KeyError: for a programme that the base did not have.
        ProgrammeError: naming the number that is wrong.
    """
    if wanted.programmes is None:
        return base.programmes
    own = {programme.id: programme for programme in base.programmes}
    return tuple(
        with_settings(own[each.id], dict(each.set)) for each in sorted(wanted.programmes, key=lambda each: each.id)
    )


async def restore_snapshot(session: ReadSession, wanted: ClearingIn, base_id: UUID) -> tuple[Snapshot, Run]:
    """Return what a clearing cleared, under the numbers wanted now, and how it was cleared then.

    Blocks are numbered from 0 among those that were free then. Nothing may be applied from it.

    Raises:
        LookupError: if the clearing has no outcome.
    """
    found = await load_clearing(session, base_id)
    if found is None:
        raise LookupError(base_id)
    instance, result = found
    programmes = programmes_of(result.run, wanted)
    moment = result.run.as_of
    assert moment is not None  # noqa: S101  a clearing of the service has one
    buyers_of = {request.party: request.buyer for request in instance.requests}
    options, budgets = with_numbers(
        instance.options, instance.budgets, result.run.programmes, programmes, buyers_of, moment
    )
    requests = {request.ref: decode_id("req", request.ref) for request in instance.requests}
    offers = {offer.ref: decode_id("offer", offer.ref) for offer in instance.offers}
    buyers, suppliers = await repository.load_parties(session, requests.values(), offers.values())
    snapshot = Snapshot(
        instance=replace(instance, options=options, budgets=budgets),
        programmes=programmes,
        years={},
        moment=moment,
        askers={
            each.ref: Asker(requests[each.ref], buyers[requests[each.ref]], (), tuple(range(each.blocks)))
            for each in instance.requests
        },
        sellers={ref: Seller(offer_id, suppliers[offer_id], ()) for ref, offer_id in offers.items()},
        left_out=(),
    )
    return snapshot, result.run
