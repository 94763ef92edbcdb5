"""Reports over the API: figures by hand against the ledger, files that are safe to open, and who may read them."""

import csv
import io
import sys
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from sqlalchemy import select
from sqlalchemy.engine import URL

from app.claims.models import Claim, ClaimLine
from app.kit.db import SYSTEM, Database
from app.kit.ids import new_id
from app.ledger import service as ledger
from app.ledger.models import Guard, TransferKind
from app.ledger.repository import NewAccount, NewTransfer
from app.reports.figures import ratio
from app.reports.report_plot import render_report
from app.reports.schemas import BurnDownOut, EffectOut, TotalsOut, TotalsRow
from app.reports.tables import card_hours, write_csv
from app.settlements.models import Redemption
from app.vouchers import budgets as caps
from tests.bazaar import Bazaar, refusal
from tests.conftest import Actor, MakeActor
from tests.grants import Grants
from tests.settlements.deals import Deal, Granted

pytestmark = pytest.mark.anyio
HALF = Granted(17_000)  # of 4 cards × 10 hours × 850 = 34 000
EVERY = {"by": ["programme", "year", "buyer_kind", "chip_origin"]}
NAMES = ("burn-down", "totals", "effect")


async def read(actor: Actor, name: str, **query: Any) -> Any:
    answer = await actor.client.get(f"/v1/reports/{name}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def sums(row: Any) -> dict[str, int]:
    """The amounts of a row that are not 0, in fen."""
    return {name.removesuffix("_fen"): value for name, value in row.items() if name.endswith("_fen") and value}


async def superuser(url: URL, sql: str) -> None:
    connection = await asyncpg.connect(url.set(drivername="postgresql").render_as_string(False))
    await connection.execute("SET session_replication_role = replica")
    await connection.execute(sql)
    await connection.close()


async def claimed(database: Database, deal: Deal) -> list[NewTransfer]:
    """Claim what the deal's first voucher redeemed: a line for each redemption, pending from claimable to paid."""
    supplier = deal.bazaar.supplier.org_id
    names = [caps.claimable_name("made-up", supplier), caps.paid_name("made-up", 2026)]
    async with database.write(SYSTEM) as session:
        await ledger.open_accounts(session, [NewAccount(names[1], caps.PAID, Guard.NONE)])
        found = await ledger.accounts_by_name(session, names)
        source, target = (found[name].id for name in names)
        rows = list(await session.scalars(select(Redemption).order_by(Redemption.id)))
        start = datetime(2026, 9, 30, 16, tzinfo=UTC)
        claim = Claim(
            programme_id="made-up", programme_version=1, claimant_org_id=supplier, period="2026-Q4", period_start=start,
            period_end=datetime(2026, 12, 31, 16, tzinfo=UTC), amount_fen=sum(row.amount_fen for row in rows),
            signals=[], created_at=start,
        )  # fmt: skip
        session.add(claim)
        await session.flush()
        lines = [
            NewTransfer(new_id(), source, target, row.amount_fen, TransferKind.PENDING, subject=claim.id)
            for row in rows
        ]
        await ledger.post_transfers(session, lines)
        session.add_all(
            ClaimLine(
                claim_id=claim.id, claimant_org_id=supplier, redemption_id=row.id, settlement_id=row.settlement_id,
                voucher_id=row.voucher_id, amount_fen=row.amount_fen, transfer_id=line.id,
            )
            for row, line in zip(rows, lines, strict=True)
        )  # fmt: skip
    return lines


async def resolved(database: Database, line: NewTransfer, kind: TransferKind) -> None:
    amount = line.amount_fen if kind is TransferKind.POST else 0
    async with database.write(SYSTEM) as session:
        done = NewTransfer(new_id(), line.debit_id, line.credit_id, amount, kind, line.id, line.subject)
        await ledger.post_transfers(session, [done])


async def test_a_voucher_s_money_from_earmark_to_payment(bazaar: Bazaar, app_database: Database) -> None:
    deal = await Deal(bazaar, grants=(HALF,)).confirmed(issue=False)
    report = await read(bazaar.desk, "totals", **EVERY)
    [row] = report["rows"]
    groups = {"programme": "made-up", "year": 2026, "buyer_kind": "startup", "chip_origin": "foreign", "vouchers": 1}
    assert row.items() >= groups.items()
    assert sums(row) == {"earmarked": 17_000}
    await deal.issue()
    assert sums((await read(bazaar.desk, "totals"))["total"]) == {"issued": 17_000, "left": 17_000}
    bazaar.clock.now = deal.starts_at
    await bazaar.sweep()
    bazaar.clock.now = deal.ends_at
    await bazaar.sweep()
    await deal.report(deal.period(0, 2), deal.period(2, 1), deal.period(3, 2))
    redeemed = {"issued": 17_000, "redeemed": 8_500, "left": 8_500}
    assert sums((await read(bazaar.desk, "totals"))["total"]) == redeemed
    paid, rejected, waiting = await claimed(app_database, deal)
    assert sums((await read(bazaar.desk, "totals"))["total"]) == redeemed | {"claimed": 8_500}
    await resolved(app_database, paid, TransferKind.POST)
    await resolved(app_database, rejected, TransferKind.VOID)
    report = await read(bazaar.desk, "totals", **EVERY)
    told = redeemed | {"claimed": 3_400, "paid": 3_400}
    assert [sums(row) for row in (*report["rows"], report["total"])] == [told, told]
    assert report["rows"][0].items() >= groups.items()
    assert waiting.amount_fen == 3_400


async def test_what_goes_back_is_told(bazaar: Bazaar) -> None:
    deal = await Deal(bazaar, grants=(HALF,)).confirmed()
    ended = await bazaar.turn(bazaar.desk, deal.reservation, "cancel", {"reason": "desk_decision"})
    assert ended.status_code == 200, ended.text
    total = (await read(bazaar.desk, "totals"))["total"]
    assert sums(total) == {"issued": 17_000, "returned": 17_000}
    report = await read(bazaar.desk, "burn-down", programme="made-up", year=2026)
    assert (report["issued_fen"], report["left_fen"]) == (0, 10**9)


async def test_groups_and_filters(bazaar: Bazaar) -> None:
    await Deal(bazaar, grants=(Granted(6_800, "first"), Granted(10_200, "second"))).confirmed()
    report = await read(bazaar.desk, "totals")
    assert [(row["programme"], row["year"], row["issued_fen"]) for row in report["rows"]] == [
        ("first", None, 6_800),
        ("second", None, 10_200),
    ]
    assert report["total"]["issued_fen"] == 17_000
    assert [row["year"] for row in (await read(bazaar.desk, "totals", by="year"))["rows"]] == [2026]
    only = await read(bazaar.desk, "totals", programme=["second"])
    assert (len(only["rows"]), only["total"]["issued_fen"]) == (1, 10_200)
    assert (await read(bazaar.desk, "totals", year=2027))["rows"] == []
    assert (await read(bazaar.desk, "totals", year=2027))["total"]["vouchers"] == 0


async def test_card_hours_per_yuan(bazaar: Bazaar) -> None:
    """40 card-hours for 340 CNY, of which vouchers took 20 % and 30 %: 170 CNY in all."""
    deal = await Deal(bazaar, grants=(Granted(6_800, "first"), Granted(10_200, "second"))).over()
    assert (await read(bazaar.desk, "effect"))["total"]["card_hours_per_cny"] is None
    await deal.report(deal.period(0, 10))
    report = await read(bazaar.desk, "effect")
    told = {row["programme"]: (row["redeemed_fen"], row["card_hours_per_cny"]) for row in report["rows"]}
    assert told == {"first": (6_800, "0.5882"), "second": (10_200, "0.3922")}
    total = report["total"]
    assert (total["contracts"], total["card_seconds"], total["settled_fen"]) == (1, 40 * 3600, 34_000)
    assert (total["redeemed_fen"], total["card_hours_per_cny"], total["settled_cny_per_cny"]) == (
        17_000, "0.2353", "2.0000",
    )  # fmt: skip
    [row] = (await read(bazaar.desk, "effect", by="chip_origin"))["rows"]
    assert (row["chip_origin"], row["card_hours_per_cny"]) == ("foreign", "0.2353")


async def test_a_pool_burns_down(app_database: Database, desk: Actor, make_actor: MakeActor, database_url: URL) -> None:
    """Opened ten days ago over 1 000 CNY, of which 300 were drawn nine days ago and 300 three days ago."""
    # Next year's, so that its end is never near, whenever this runs.
    year = datetime.now(UTC).year + 1
    grants = await Grants(app_database).open(year=year)
    buyers = [(await make_actor("buyer")).org_id for _ in range(3)]
    for buyer in buyers[:2]:
        await grants.take(buyer, 30_000, year=year)
    await superuser(
        database_url,
        "UPDATE ledger_transfer t SET created_at = created_at - CASE WHEN seq < (SELECT min(seq) FROM ledger_transfer"
        " WHERE kind = 'pending') THEN interval '10 days' WHEN subject = (SELECT subject FROM ledger_transfer WHERE"
        " kind = 'pending' ORDER BY seq LIMIT 1) THEN interval '9 days' ELSE interval '3 days' END;"
        "UPDATE ledger_account SET created_at = created_at - interval '10 days'",
    )
    report = await read(desk, "burn-down", programme="made-up", year=year, days=7)
    assert (report["pool_fen"], report["earmarked_fen"], report["left_fen"]) == (100_000, 60_000, 40_000)
    assert [day["left_fen"] for day in report["days"]][:3] == [100_000, 70_000, 70_000]
    assert [day["left_fen"] for day in report["days"]][-4:] == [40_000] * 4
    assert len(report["days"]) == 11
    found = report["forecast"]
    # 300 CNY in 7 days, so the 400 that are left last 9 days and a third.
    assert (found["drawn_fen"], found["fen_per_day"], found["verdict"]) == (30_000, 4_285, "runs_out")
    lasts = datetime.fromisoformat(found["used_up_at"]) - datetime.fromisoformat(report["as_of"])
    assert 806_400 <= lasts.total_seconds() < 806_402
    wider = (await read(desk, "burn-down", programme="made-up", year=year, days=28))["forecast"]
    assert wider["drawn_fen"] == 60_000  # since it was opened


async def test_the_days_end_where_the_ledger_is(bazaar: Bazaar, app_database: Database) -> None:
    deal = await Deal(bazaar, grants=(HALF,)).over()
    await deal.report(deal.period(0, 5))
    report = await read(bazaar.desk, "burn-down", programme="made-up", year=2026)
    pool = await deal.account("made-up/pool/2026")
    assert report["left_fen"] == pool.left_fen == 10**9 - 17_000
    assert (report["issued_fen"], report["earmarked_fen"]) == (pool.debits_posted, pool.debits_pending)
    assert report["redeemed_fen"] == 8_500
    assert report["days"][-1]["left_fen"] == pool.left_fen


async def test_a_pool_without_a_cap(app_database: Database, desk: Actor, buyer: Actor) -> None:
    grants = await Grants(app_database).open(None, None)
    await grants.take(buyer.org_id, 5_000)
    report = await read(desk, "burn-down", programme="made-up", year=2026)
    assert (report["pool_fen"], report["left_fen"], report["earmarked_fen"]) == (None, None, 5_000)
    assert report["forecast"]["verdict"] == "no_cap"


@pytest.mark.parametrize("name", NAMES)
async def test_files(bazaar: Bazaar, name: str) -> None:
    deal = await Deal(bazaar, grants=(HALF,)).over()
    await deal.report(deal.period(0, 5))
    path, query = f"/v1/reports/{name}", {"programme": "made-up", "year": 2026}
    table = await bazaar.desk.client.get(path, params=query | {"format": "csv"})
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    assert table.headers["content-disposition"] == f'attachment; filename="{name}.csv"'
    rows = list(csv.DictReader(io.StringIO(table.text)))
    if name == "burn-down":
        assert (rows[-1]["left_cny"], rows[-1]["redeemed_cny"]) == ("9999830.00", "85.00")
    else:
        assert [row["programme"] for row in rows] == ["made-up", "total"]
        assert {row["redeemed_cny"] for row in rows} == {"85.00"}
    svg = await bazaar.desk.client.get(path, params=query | {"format": "svg"})
    assert (svg.status_code, svg.headers["content-type"]) == (200, "image/svg+xml"), svg.text
    assert ET.fromstring(svg.text).tag.endswith("svg")  # noqa: S314  our own file
    png = await bazaar.desk.client.get(path, params=query | {"format": "png"})
    assert png.content.startswith(b"\x89PNG")
    assert png.headers["cache-control"] == "private, no-store"


async def test_without_matplotlib_the_extra_is_named(bazaar: Bazaar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    answer = await bazaar.desk.client.get("/v1/reports/totals", params={"format": "svg"})
    assert refusal(answer) == (501, "report_plot_unavailable")
    assert "pip install 'cardhour[plot]'" in answer.json()["detail"]
    chinese = await bazaar.desk.client.get(
        "/v1/reports/totals", params={"format": "svg"}, headers={"Accept-Language": "zh-CN"}
    )
    assert "绘图" in chinese.json()["detail"]
    assert (await bazaar.desk.client.get("/v1/reports/totals", params={"format": "csv"})).status_code == 200


async def test_who_may_read_them(bazaar: Bazaar, auditor: Actor) -> None:
    await Grants(bazaar.database).open()
    for name in NAMES:
        query = {"programme": "made-up", "year": 2026}
        for party in (bazaar.buyer, bazaar.supplier):
            assert refusal(await party.client.get(f"/v1/reports/{name}", params=query)) == (403, "forbidden")
        assert (await auditor.client.get(f"/v1/reports/{name}", params=query)).status_code == 200


async def test_bad_input(bazaar: Bazaar) -> None:
    await Grants(bazaar.database).open()
    for name, query, told in (
        ("burn-down", {}, (422, "invalid")),
        ("burn-down", {"programme": "made-up", "days": 0}, (422, "invalid")),
        ("burn-down", {"programme": "made-up", "days": 367}, (422, "invalid")),
        ("burn-down", {"programme": "made-up", "year": 1999}, (422, "invalid")),
        ("burn-down", {"programme": "made-up", "format": "pdf"}, (422, "invalid")),
        ("burn-down", {"programme": "nobody-s"}, (404, "not_found")),
        ("burn-down", {"programme": "made-up", "year": 2031}, (404, "report_year_not_open")),
        ("totals", {"by": "supplier"}, (422, "invalid")),
        ("totals", {"programme": "nobody-s"}, (404, "not_found")),
        ("effect", {"buyer_kind": "sme"}, (422, "invalid")),
        ("prices", {}, (404, "not_found")),
    ):
        assert refusal(await bazaar.desk.client.get(f"/v1/reports/{name}", params=query)) == told, (name, query)
    late = await bazaar.desk.client.get("/v1/reports/burn-down", params={"programme": "made-up", "year": 2031})
    assert "it has of: 2026" in late.json()["detail"]


def test_no_cell_is_a_formula() -> None:
    zero = dict.fromkeys(TotalsRow.model_fields, 0)
    row = zero | {"programme": "=cmd|' /C calc'!A0", "year": 2026, "buyer_kind": "@SUM(1)", "chip_origin": "unknown"}
    total = zero | {"programme": None, "year": None, "buyer_kind": None, "chip_origin": None}
    report = TotalsOut.model_validate(
        {"as_of": "2026-12-01T00:00:00Z", "by": ["programme", "buyer_kind"], "rows": [row], "total": total}
    )
    _, first, last = csv.reader(io.StringIO(write_csv(report).decode()))
    assert first[:2] == ["'=cmd|' /C calc'!A0", "'@SUM(1)"]
    assert last[:2] == ["total", ""]


def test_ratios() -> None:
    assert ratio(40 * 3600 * 100, 17_000 * 3600) == "0.2353"
    assert ratio(1, 0) is None
    assert ratio(1, 20_000) == "0.0001"  # half up
    assert (card_hours(3_599), card_hours(144_000)) == ("0.99", "40.00")


async def test_pictures_of_nothing_and_of_much_are_drawn_alike(bazaar: Bazaar) -> None:
    await Grants(bazaar.database).open()
    empty = await read(bazaar.desk, "totals")
    burn = BurnDownOut.model_validate(await read(bazaar.desk, "burn-down", programme="made-up", year=2026))
    assert render_report(burn, "svg") == render_report(burn, "svg")
    assert b"dc:date" not in render_report(burn, "svg")
    row = empty["total"]
    many = [row | {"programme": f"示例-{n} $x_{{", "issued_fen": n * 1000} for n in range(40)]
    assert render_report(TotalsOut.model_validate(empty), "png").startswith(b"\x89PNG")
    full = render_report(TotalsOut.model_validate(empty | {"rows": many}), "svg")
    assert len(full) < 400_000
    effect = await read(bazaar.desk, "effect")
    assert render_report(EffectOut.model_validate(effect), "png").startswith(b"\x89PNG")


async def test_a_voucher_of_a_buyer_without_a_kind_is_unknown(
    app_database: Database, desk: Actor, buyer: Actor
) -> None:
    grants = await Grants(app_database).open()
    await grants.take(buyer.org_id, 5_000)
    [row] = (await read(desk, "totals", by=["buyer_kind", "chip_origin"]))["rows"]
    assert (row["buyer_kind"], row["chip_origin"], sums(row)) == ("unknown", "unknown", {"earmarked": 5_000})
