"""Chengdu to the end: contract, voucher, settlements, quarterly claims, paid; every line of the ledger."""

from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import aliased

from app.kit.db import SYSTEM, Database
from app.kit.ids import encode_id
from app.ledger.models import Account, Transfer
from tests.bazaar import Bazaar, keyed
from tests.settlements.deals import QUARTER_OVER, Deal, Granted

pytestmark = pytest.mark.anyio
AMOUNTS = ("approved_fen", "netted_fen", "recovered_fen", "cash_fen")
PROOFS = ("contract", "settlement", "delivery record")


async def lines_of(database: Database, names: dict[str, str]) -> list[tuple[str, str, str, int]]:
    """Kind, debited and credited account and amount of every transfer in order, organisations by their names here."""
    debit, credit = aliased(Account), aliased(Account)
    statement = (
        select(Transfer.kind, debit.name, credit.name, Transfer.amount_fen)
        .join(debit, debit.id == Transfer.debit_id)
        .join(credit, credit.id == Transfer.credit_id)
        .order_by(Transfer.seq)
    )

    def short(name: str) -> str:
        for long, told in names.items():
            name = name.replace(long, told)
        return name

    async with database.read(SYSTEM) as session:
        rows = await session.execute(statement)
        return [(kind, short(source), short(target), amount) for kind, source, target, amount in rows]


async def test_from_contract_to_paid_claims(bazaar: Bazaar) -> None:
    """3 000 000 CNY, a voucher of 1 000 000; 300 000 advanced; claims of two quarters, 750 000 and 250 000."""
    voucher = Granted(100_000_000, "chengdu-2023")
    deal = await Deal(bazaar, cards=400, hours=750, price_fen=1_000, grants=(voucher,)).running()
    supplier, buyer = encode_id("org", bazaar.supplier.org_id), encode_id("org", bazaar.buyer.org_id)
    body = {"supplier_org_id": supplier, "amount_fen": 30_000_000}
    advance = await bazaar.desk.client.post("/v1/programmes/chengdu-2023/advances", json=body, headers=keyed())
    assert advance.status_code == 201, advance.text
    # Three quarters of it are over on Christmas Eve, the rest on the first morning of 2027; the third is reported late.
    bazaar.clock.now = deal.starts_at + timedelta(hours=600)
    await deal.report(deal.period(0, 187.5), deal.period(187.5, 187.5))
    bazaar.clock.now = QUARTER_OVER
    await bazaar.sweep()
    await deal.report(deal.period(375, 187.5), deal.period(562.5, 187.5))
    assert [row["amount_fen"] for row in await deal.settlements()] == [75_000_000] * 4
    assert [row["redeemed_fen"] for row in await deal.settlements()] == [37_500_000, 37_500_000, 25_000_000, 0]

    first = await deal.claim("chengdu-2023", kinds=PROOFS, amount_fen=75_000_000)
    assert [line["amount_fen"] for line in first["lines"]] == [37_500_000, 37_500_000]
    assert first["signals"] is None  # they are the desk's
    approved = await deal.decide(first, "approve")
    assert [approved[name] for name in AMOUNTS] == [75_000_000, 30_000_000, 0, 45_000_000]
    paid = await deal.decide(approved, "pay", amount_fen=45_000_000, reference="ICBC 7")
    assert (paid["state"], paid["payment_reference"]) == ("paid", "ICBC 7")
    assert [paid[name] for name in AMOUNTS] == [75_000_000, 30_000_000, 0, 45_000_000]

    bazaar.clock.now = QUARTER_OVER.replace(month=4)
    second = await deal.claim("chengdu-2023", period="2027-Q1", kinds=PROOFS)
    paid = await deal.pay_claim(await deal.decide(second, "approve"))
    assert [paid[name] for name in AMOUNTS] == [25_000_000, 0, 0, 25_000_000]
    assert await deal.claimable("chengdu-2023") == 0

    p, to, fro = "chengdu-2023", "chengdu-2023/claimable/supplier", "voucher/1"
    names = {
        supplier: "supplier",
        buyer: "buyer",
        encode_id("vch", deal.vouchers[0]): "1",
    }
    assert await lines_of(bazaar.database, names) == [
        # The year is opened, the buyer's cap filled, the voucher earmarked and issued.
        ("single", f"{p}/treasury", f"{p}/pool/2026", 1_000_000_000),
        ("single", f"{p}/quota/2026", f"{p}/buyer/buyer/2026", 1_000_000_000),
        ("pending", f"{p}/pool/2026", fro, 100_000_000),
        ("pending", f"{p}/buyer/buyer/2026", f"{p}/quota/2026", 100_000_000),
        ("post", f"{p}/pool/2026", fro, 100_000_000),
        ("post", f"{p}/buyer/buyer/2026", f"{p}/quota/2026", 100_000_000),
        # The reserve fund, then three redemptions: the fourth settlement redeems nothing.
        ("single", f"{p}/treasury", f"{p}/advance/supplier", 30_000_000),
        ("single", fro, to, 37_500_000),
        ("single", fro, to, 37_500_000),
        ("single", fro, to, 25_000_000),
        # The claim of 2026-Q4: set aside, paid, the advance made up for.
        ("pending", to, f"{p}/paid/2026", 37_500_000),
        ("pending", to, f"{p}/paid/2026", 37_500_000),
        ("post", to, f"{p}/paid/2026", 37_500_000),
        ("post", to, f"{p}/paid/2026", 37_500_000),
        ("single", f"{p}/advance/supplier", f"{p}/treasury", 30_000_000),
        # The claim of 2027-Q1.
        ("pending", to, f"{p}/paid/2027", 25_000_000),
        ("post", to, f"{p}/paid/2027", 25_000_000),
    ]
