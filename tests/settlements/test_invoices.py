"""Invoices: as data, as HTML and as PDF with Chinese text, and the arithmetic on them."""

import base64
import re
import sys
import zlib
from typing import Any

import pytest

from app.settlements.invoices import capital_cny, card_hours
from tests.bazaar import Bazaar, refusal
from tests.settlements.deals import Deal, Granted

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("fen", "words"),
    [
        (0, "零元整"),
        (1, "壹分"),
        (10, "壹角整"),
        (105, "壹元零伍分"),
        (12_345, "壹佰贰拾叁元肆角伍分"),
        (1_000_000, "壹万元整"),
        (1_000_100, "壹万零壹元整"),
        (10_100_000, "壹拾万壹仟元整"),
        (37_500_000, "叁拾柒万伍仟元整"),
        (100_000_000, "壹佰万元整"),
        (10_000_000_500, "壹亿零伍元整"),
        (1_234_567_890_12, "壹拾贰亿叁仟肆佰伍拾陆万柒仟捌佰玖拾元壹角贰分"),
        (-2_050, "负贰拾元伍角整"),
    ],
)
def test_amounts_in_capital_characters(fen: int, words: str) -> None:
    assert capital_cny(fen) == words


@pytest.mark.parametrize(
    ("seconds", "hours"), [(0, "0"), (3600, "1"), (5400, "1.5"), (1, "0.0002"), (-1800, "-0.5"), (270_000_000, "75000")]
)
def test_card_hours_are_exact_where_whole(seconds: int, hours: str) -> None:
    assert card_hours(seconds) == hours


async def invoiced(bazaar: Bazaar) -> tuple[Deal, Any]:
    deal = await Deal(bazaar, grants=(Granted(17_000),)).over()
    await deal.report(deal.period(0, 5), deal.period(5, 5, 36_000))
    return deal, (await deal.settlements())[1]


async def test_an_invoice_as_data(bazaar: Bazaar) -> None:
    _, line = await invoiced(bazaar)
    answer = (await bazaar.buyer.client.get(f"/v1/settlements/{line['id']}/invoice")).json()
    assert (answer["number"], answer["supplier"]["name"], answer["buyer"]["name"]) == (2, "supplier", "buyer")
    assert (answer["card_seconds"], answer["card_seconds_total"]) == (36_000, 108_000)
    assert (answer["billed_before_fen"], answer["amount_fen"], answer["payable_fen"]) == (17_000, 8_500, 4_250)
    assert answer["payable_in_words"] == "肆拾贰元伍角整"
    total, before = "108000 card-seconds × 8.50 CNY per card-hour ÷ 3600 = 255.00 CNY", "170.00 CNY billed before"
    assert answer["arithmetic"] == [
        "至此累计 108000 卡秒 × 8.50 元/卡时 ÷ 3600 = 255.00 元，减去已开 170.00 元 = 85.00 元。",
        f"Up to here {total}, less {before} = 85.00 CNY.",
    ]
    [voucher] = answer["vouchers"]
    assert (voucher["title"]["zh"], voucher["amount_fen"], voucher["deducted"]) == ("虚构项目", 4_250, True)


async def test_an_invoice_as_html(bazaar: Bazaar, make_actor) -> None:
    deal, line = await invoiced(bazaar)
    answer = await bazaar.supplier.client.get(f"/v1/settlements/{line['id']}/invoice", params={"format": "html"})
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    for text in ("算力服务结算发票", "000002", "虚构项目", "肆拾贰元伍角整", "85.00", "-42.50", deal.contract["id"]):
        assert text in answer.text


async def test_what_others_wrote_is_escaped(bazaar: Bazaar, make_actor) -> None:
    sly = await make_actor("supplier", ref="<script>alert(1)</script>")
    market = Bazaar(bazaar.desk, sly, bazaar.buyer, bazaar.clock, bazaar.database, bazaar.worker)
    deal = await Deal(market).over()
    [line] = (await deal.report(deal.period(0, 5)))["settlements"]
    for kind in ("html", "pdf"):
        answer = await bazaar.buyer.client.get(f"/v1/settlements/{line['id']}/invoice", params={"format": kind})
        assert answer.status_code == 200, answer.text
        assert "<script>" not in answer.text


def pdf_text(content: bytes) -> str:
    """The text of a PDF whose only font is in two bytes a character (UniGB-UCS2-H)."""
    text = ""
    for stream in re.findall(rb"stream\r?\n(.*?)~>\s*endstream", content, re.DOTALL):
        drawn = re.findall(rb"\((.*?)(?<!\\)\) Tj", zlib.decompress(base64.a85decode(stream)), re.DOTALL)
        for part in drawn:
            plain = re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), part)
            text += re.sub(rb"\\(.)", rb"\1", plain, flags=re.DOTALL).decode("utf-16-be")
    return text


async def test_an_invoice_as_pdf(bazaar: Bazaar) -> None:
    _, line = await invoiced(bazaar)
    path = f"/v1/settlements/{line['id']}/invoice"
    answer = await bazaar.buyer.client.get(path, params={"format": "pdf"})
    assert (answer.headers["content-type"], answer.content[:5]) == ("application/pdf", b"%PDF-")
    assert b"/STSong-Light" in answer.content
    text = pdf_text(answer.content)
    for wanted in ("算力服务结算发票", "虚构项目", "肆拾贰元伍角整", "85.00"):
        assert wanted in text
    assert (await bazaar.buyer.client.get(path, params={"format": "pdf"})).content == answer.content


async def test_without_the_extra_pdf_is_refused_by_name(bazaar: Bazaar, monkeypatch: pytest.MonkeyPatch) -> None:
    _, line = await invoiced(bazaar)
    monkeypatch.setitem(sys.modules, "reportlab", None)
    path = f"/v1/settlements/{line['id']}/invoice"
    assert refusal(await bazaar.buyer.client.get(path, params={"format": "pdf"})) == (501, "pdf_unavailable")
    assert (await bazaar.buyer.client.get(path, params={"format": "html"})).status_code == 200
