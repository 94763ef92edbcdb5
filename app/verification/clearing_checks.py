"""The checks of clearings on record: each one that succeeded holds from its stored input, without any solver.

Beside what the engine's verifier recomputes, the rows that the parties read and the reservations are held against the
stored result, so that none of them can be changed alone.
"""

import asyncio
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from app.kit.db import ReadSession
from app.kit.ids import encode_id
from app.kit.time import format_rfc3339, from_hour_index
from app.matching import clearing_repository
from app.matching.clearing_models import Clearing, ClearingMode, ClearingRow, RowKind
from app.matching.core.codec import instance_sha256
from app.matching.core.instance import Instance
from app.matching.core.limits import InstanceError
from app.matching.core.outcome import Match
from app.matching.core.verify import VerificationError, verify
from app.matching.results import Result, ResultError, unpack_clearing
from app.verification.checks import Check

NAME = "clearings"
PROMISE = "every clearing on record is feasible, its amounts and bound as recomputed without a solver"
ROWS_NAME = "clearing_rows"
ROWS_PROMISE = "what a clearing shows of its matches and unmatched requests is what its result says"

RESERVATION_CHECK = Check(
    "clearing_reservations",
    "a match that was applied has its reservation, for its request, block, offer, start and price; a dry run has none",
    "SELECT count(*) FROM clearing_row WHERE kind = 'match'",
    """
    WITH match AS (
        SELECT m.*, c.mode, m.body->>'lost' AS lost FROM clearing_row m JOIN clearing c ON c.id = m.clearing_id
        WHERE m.kind = 'match'
    )
    SELECT format('match %s of clearing %s is in a dry run and names a reservation', position, clearing_id)
    FROM match WHERE mode = 'dry_run' AND reservation_id IS NOT NULL
    UNION ALL
    SELECT format('match %s of clearing %s was neither reserved nor lost, or both', position, clearing_id)
    FROM match WHERE mode = 'apply' AND (reservation_id IS NULL) = (lost IS NULL)
    UNION ALL
    SELECT format('reservation %s of match %s of clearing %s is missing', m.reservation_id, position, clearing_id)
    FROM match m LEFT JOIN reservation v ON v.id = m.reservation_id
    WHERE m.reservation_id IS NOT NULL AND v.id IS NULL
    UNION ALL
    SELECT format('reservation %s is not what match %s of clearing %s says', v.id, position, clearing_id)
    FROM match m JOIN reservation v ON v.id = m.reservation_id
    WHERE (v.request_id, v.offer_id, v.buyer_org_id, v.supplier_org_id)
            IS DISTINCT FROM (m.request_id, m.offer_id, m.buyer_org_id, m.supplier_org_id)
        OR (v.block, v.cards) IS DISTINCT FROM ((body->>'block')::bigint, (body->>'cards')::bigint)
        OR v.starts_at IS DISTINCT FROM (body->>'starts_at')::timestamptz
        OR v.price_fen * v.cards * (body->>'hours')::bigint IS DISTINCT FROM (body->>'cost_fen')::bigint
    UNION ALL
    SELECT format('match %s of clearing %s has not the vouchers of its subsidies', position, clearing_id)
    FROM match m WHERE m.reservation_id IS NOT NULL AND NOT (
        SELECT coalesce(jsonb_agg(jsonb_build_object('programme', v.programme_id, 'tier', v.tier,
            'amount_fen', v.amount_fen)), '[]') FROM voucher v WHERE v.subject_id = m.reservation_id
    ) @> (m.body->'subsidies')
    UNION ALL
    SELECT format('reservation %s is of %s matches', reservation_id, count(*))
    FROM match WHERE reservation_id IS NOT NULL GROUP BY reservation_id HAVING count(*) > 1
    """,
)


async def check_clearings(session: ReadSession) -> tuple[int, list[str], list[str]]:
    """Return how many clearings were looked at, what is wrong with whose result, and with whose rows."""
    ids = await clearing_repository.succeeded_ids(session)
    wrong: list[str] = []
    wrong_rows: list[str] = []
    for clearing_id in ids:
        name = f"clearing {encode_id('clr', clearing_id)}"
        file = await clearing_repository.get_file(session, clearing_id)
        clearing, rows = await clearing_repository.get_with_rows(session, clearing_id)
        if file is None:
            wrong.append(f"{name} has no input and result")
            continue
        fault, row_faults = await asyncio.to_thread(_faults, file.instance, file.outcome, clearing, rows)
        if fault is not None:
            wrong.append(f"{name}: {fault}")
        wrong_rows += [f"{name}: {each}" for each in row_faults]
    return len(ids), wrong, wrong_rows


def _faults(
    packed_instance: bytes, packed_outcome: bytes, clearing: Clearing, rows: Sequence[ClearingRow]
) -> tuple[str | None, list[str]]:
    """Return what is wrong with a result, and what with the rows if the result can be read."""
    try:
        instance, result = unpack_clearing(packed_instance, packed_outcome)
    except (zlib.error, ValueError, InstanceError, ResultError) as error:
        return str(error), []
    return _fault(instance, result), list(_row_faults(result, clearing, rows))


def _fault(instance: Instance, result: Result) -> str | None:
    if instance_sha256(instance) != result.instance_sha256:
        return "its input is not the one it was cleared from"
    try:
        verify(instance, result.run.solver, result.outcome)
    except (InstanceError, VerificationError) as error:
        return str(error)
    return None


def _row_faults(result: Result, clearing: Clearing, rows: Sequence[ClearingRow]) -> Iterator[str]:
    outcome = result.outcome
    shown = (clearing.status, clearing.objective_fen, clearing.bound_fen, clearing.matches)
    stored = (outcome.status.value, outcome.objective_fen, outcome.bound_fen, len(outcome.matches))
    if shown != stored:
        yield f"it shows {shown}, its result says {stored}"
    by_kind: dict[str, dict[int, ClearingRow]] = defaultdict(dict)
    for row in rows:
        by_kind[row.kind][row.position] = row
    matches, unmatched = by_kind[RowKind.MATCH.value], by_kind[RowKind.UNMATCHED.value]
    if set(matches) != set(range(len(outcome.matches))):
        yield f"{len(matches)} matches are shown of {len(outcome.matches)}"
    for position, match in enumerate(outcome.matches):
        if position in matches and not _is_match(matches[position], match):
            yield f"match {position} is not shown as it was made"
    yield from _block_faults(result, matches)
    lost = {position: row.body["lost"] for position, row in matches.items() if row.body["lost"] is not None}
    if {loser["position"]: loser["code"] for loser in clearing.losers} != lost:
        yield "its losers are not the matches that were lost"
    if lost and clearing.mode == ClearingMode.DRY_RUN.value:
        yield "it is a dry run and has losers"
    for position, each in enumerate(outcome.unmatched):
        row = unmatched.get(position)
        told = (each.request, each.blocks_unmatched, each.code, each.detail)
        if row is None or told != (_ref(row), *(row.body[key] for key in ("blocks_unmatched", "code", "detail"))):
            yield f"unmatched request {position} is not shown as it was found"
    # After them come the requests that were too large to take part; the result knows nothing of those.
    if any(row.body["code"] != "over_limit" for at, row in unmatched.items() if at >= len(outcome.unmatched)):
        yield "an unmatched request is shown that its result does not have"


def _ref(row: ClearingRow) -> str:
    return encode_id("req", row.request_id)


def _is_match(row: ClearingRow, match: Match) -> bool:
    offer = None if row.offer_id is None else encode_id("offer", row.offer_id)
    wanted: dict[str, Any] = {
        "starts_at": format_rfc3339(from_hour_index(match.start_hour)),
        "hours": match.hours,
        "cards": match.cards,
        "cost_fen": match.cost_fen,
        "subsidies": [{"programme": s.programme, "tier": s.tier, "amount_fen": s.amount_fen} for s in match.subsidies],
        "subsidy_fen": match.subsidy_fen,
        "net_fen": match.net_fen,
        "surplus_fen": match.surplus_fen,
    }
    shown = {name: row.body[name] for name in wanted}
    return (_ref(row), offer, shown) == (match.request, match.offer, wanted)


def _block_faults(result: Result, rows: dict[int, ClearingRow]) -> Iterator[str]:
    """A request's blocks are told by their own numbers: those that were free, in the order of the result's."""
    by_request: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for position, match in enumerate(result.outcome.matches):
        if position in rows:
            by_request[match.request].append((match.block, rows[position].body["block"]))
    for request, blocks in by_request.items():
        told = [number for _, number in sorted(blocks)]
        if told != sorted(set(told)) or any(number < block for block, number in blocks):
            yield f"the blocks of {request} are not shown as they were matched"
