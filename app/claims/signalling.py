"""Database → the signals of a claim. Everything runs as the system."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from app.claims import repository
from app.claims.repository import Claimable
from app.contracts.models import Contract, Document
from app.contracts.signalling import signal_contracts
from app.contracts.signals import Signal, claimed_above_metered, reused_proofs
from app.kit.db import ReadSession
from app.kit.ids import encode_id
from app.kit.money import floor_rate
from app.settlements.arithmetic import billed_total_fen, delivered_card_seconds
from app.settlements.repository import find_reports
from app.settlements.service import metered
from app.vouchers.facts import Item
from app.vouchers.models import Voucher
from app.vouchers.policy import Programme
from app.vouchers.rules import base_fen


async def signal_claim(
    session: ReadSession,
    programme: Programme,
    claimed: Sequence[Claimable],
    documents: Sequence[Document],
    now: datetime,
) -> list[dict[str, Any]]:
    """Return the signals of what is about to be claimed with these proofs, as they are kept."""
    contracts = await repository.contracts_of(session, {row.redemption.settlement_id for row in claimed})
    found = await signal_contracts(session, contracts, programme, now)
    found += await _signal_amounts(session, programme, contracts, claimed)
    elsewhere: dict[str, list[str]] = defaultdict(list)
    for sha256, claim in await repository.claims_proved_by(session, {row.sha256 for row in documents}):
        elsewhere[sha256].append(encode_id("clm", claim))
    found += reused_proofs([(encode_id("doc", row.id), row.sha256) for row in documents], elsewhere)
    return [asdict(signal) for signal in found]


async def _signal_amounts(
    session: ReadSession, programme: Programme, contracts: Sequence[Contract], claimed: Sequence[Claimable]
) -> list[Signal]:
    by_reservation = {contract.reservation_id: contract for contract in contracts}
    vouchers = {row.voucher.id: row.voucher for row in claimed}
    totals = await repository.claimed_fen(session, vouchers)
    for row in claimed:
        totals[row.voucher.id] = totals.get(row.voucher.id, 0) + row.left_fen
    earned = {
        voucher.id: await _metered_fen(session, programme, by_reservation[voucher.subject_id], voucher)
        for voucher in vouchers.values()
        if voucher.subject_id is not None
    }
    return claimed_above_metered(
        {encode_id("vch", voucher): fen for voucher, fen in totals.items()},
        {encode_id("vch", voucher): fen for voucher, fen in earned.items()},
    )


async def _metered_fen(session: ReadSession, programme: Programme, contract: Contract, voucher: Voucher) -> int:
    """Return what a voucher's rate gives of what was metered of its contract, as far as the programme counts it."""
    reports = await find_reports(session, contract.reservation_id)
    usage = billed_total_fen(contract.price_fen, delivered_card_seconds(metered(row) for row in reports))
    if not contract.amount_fen:
        return 0
    items = [Item(item.kind, item.amount_fen) for item in contract.items]  # pyright: ignore[reportArgumentType]  a CHECK keeps it to these words
    counted = usage * base_fen(programme, items) // contract.amount_fen
    return floor_rate(voucher.rate_ppm or 0, counted)
