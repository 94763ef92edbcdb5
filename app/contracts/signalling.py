"""Database → the signals of a contract that applies for a voucher. Everything runs as the system."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from app.contracts import repository
from app.contracts.deciding import load_programme
from app.contracts.models import Contract
from app.contracts.signals import (
    RECENT,
    SPLIT_WITHIN,
    Signal,
    affiliated_parties,
    raised_prices,
    split_contracts,
)
from app.kit.db import ReadSession
from app.kit.ids import encode_id
from app.kit.money import parse_cny
from app.vouchers import standing
from app.vouchers.models import Voucher
from app.vouchers.policy import Programme
from app.vouchers.rules import signing_day


def thresholds_fen(programme: Programme) -> list[int]:
    """Return the amounts of contracts up to which a programme's tiers or rates hold."""
    terms = [part for tier in programme.tiers for part in (tier, *tier.rates)]
    limits = [limit for part in terms for limit in (part.max_contract_cny, part.max_year_contracts_cny)]
    return [parse_cny(limit) for limit in limits if limit is not None]


async def signal_contracts(
    session: ReadSession, contracts: Sequence[Contract], programme: Programme, moment: datetime
) -> list[Signal]:
    """Return the signals of contracts under a programme: sides under one control at a moment, price, splitting."""
    groups = await standing.load_groups(session, signing_day(programme, moment))
    sides = {org for contract in contracts for org in (contract.buyer_org_id, contract.supplier_org_id)}
    names = await repository.organisation_names(session, sides)
    thresholds = thresholds_fen(programme)
    found: list[Signal] = []
    for contract in contracts:
        of, signed_at = encode_id("ctr", contract.id), contract.signed_at
        buyer, supplier = contract.buyer_org_id, contract.supplier_org_id
        together = standing.affiliated(groups, buyer, supplier)
        found += affiliated_parties(of, affiliated=together, buyer=names[buyer], supplier=names[supplier])
        sales = await repository.sales_of(session, contract, since=signed_at - RECENT, chip=True)
        found += raised_prices(of, contract.price_fen, signed_at, sales)
        if thresholds:
            alike = await repository.sales_of(session, contract, since=signed_at - SPLIT_WITHIN, chip=False)
            found += split_contracts(of, contract.amount_fen, signed_at, alike, thresholds)
    return found


async def signal_application(session: ReadSession, contract: Contract, voucher: Voucher) -> list[dict[str, Any]]:
    """Return the signals of a contract's application for a voucher, as they are kept."""
    programme = await load_programme(session, voucher.programme_id, voucher.programme_version)
    return [asdict(signal) for signal in await signal_contracts(session, [contract], programme, contract.signed_at)]
