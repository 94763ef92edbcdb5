"""Invoices: a settlement as a document, in Chinese and English, from one page of rows to HTML and PDF.

What the supplier invoices is what the buyer pays: where the supplier claims the voucher from the programme, the amount
less what was redeemed; where the buyer claims it, the whole amount.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta, timezone
from html import escape
from importlib.util import find_spec
from io import BytesIO
from typing import Final

from app.kit.ids import encode_id
from app.kit.money import format_cny
from app.settlements.errors import PDF_UNAVAILABLE
from app.settlements.models import PaymentState, RedemptionKind, SettlementKind
from app.settlements.schemas import InvoiceOut
from app.settlements.typesetting import write_pdf

_DIGITS: Final = "零壹贰叁肆伍陆柒捌玖"
_UNITS: Final = ("", "拾", "佰", "仟")
_GROUPS: Final = ("", "万", "亿", "万亿", "亿亿")
_BEIJING: Final = timezone(timedelta(hours=8))
_KINDS: Final = {
    SettlementKind.PREPAID: "预付 prepaid",
    SettlementKind.ARREARS: "按交付结算 in arrears",
    SettlementKind.REFUND: "退款 refund",
    SettlementKind.REDEMPTION: "算力券抵扣调整 voucher redemption",
}
_STATES: Final = {
    PaymentState.OPEN: "待付款 open",
    PaymentState.PAID: "已付款 paid",
    PaymentState.VOID: "已作废 void",
}
_STYLE: Final = """
body{font:15px/1.5 "Noto Sans CJK SC","Source Han Sans SC","PingFang SC","Microsoft YaHei",SimSun,sans-serif;
max-width:52rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}
h1{font-size:1.5rem;margin:0 0 1rem}table{border-collapse:collapse;width:100%;margin:0 0 1.2rem}
th,td{border:1px solid #bbb;padding:.35rem .6rem;text-align:left;vertical-align:top}th{background:#f3f3f3}
.facts th{width:14rem;font-weight:normal}.amount{text-align:right;white-space:nowrap}.total td{font-weight:bold}
@media print{body{margin:0}}
"""


@dataclass(frozen=True, slots=True)
class Page:
    """An invoice as rows: facts by name, then items of which the last column is an amount, and a note."""

    title: str
    facts: tuple[tuple[str, str], ...]
    head: tuple[str, ...]
    items: tuple[tuple[str, ...], ...]
    totals: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def capital_cny(fen: int) -> str:
    """Return an amount in the capital characters of Chinese invoices: 12 345 → 壹佰贰拾叁元肆角伍分.

    Amounts below 0 begin with 负; those without fen end in 整.
    """
    sign = "负" if fen < 0 else ""
    yuan, cents = divmod(abs(fen), 100)
    jiao, fen_left = divmod(cents, 10)
    text = f"{_capital_integer(yuan)}元" if yuan else ""
    if not cents:
        return f"{sign}{text or '零元'}整"
    if jiao:
        text += f"{_DIGITS[jiao]}角"
    elif yuan:
        text += "零"
    return f"{sign}{text}{_DIGITS[fen_left]}分" if fen_left else f"{sign}{text}整"


def _capital_integer(number: int) -> str:
    """Return a positive whole number in capital characters, groups of four digits from the right."""
    groups: list[int] = []
    while number:
        number, group = divmod(number, 10_000)
        groups.append(group)
    text = ""
    for place in range(len(groups) - 1, -1, -1):
        group = groups[place]
        if not group:
            continue
        # A gap in the digits, however wide, is told by one zero.
        if text and (group < 1_000 or not groups[place + 1]):  # noqa: PLR2004  a group of four digits that begins with 0
            text += _DIGITS[0]
        text += _capital_group(group) + _GROUPS[place]
    return text


def _capital_group(group: int) -> str:
    text, gap = "", False
    for place in range(3, -1, -1):
        digit = group // 10**place % 10
        if digit:
            text += (_DIGITS[0] if gap and text else "") + _DIGITS[digit] + _UNITS[place]
            gap = False
        else:
            gap = True
    return text


def card_hours(card_seconds: int) -> str:
    """Return card-seconds as card-hours with at most four decimals, rounded down; exact where they are whole."""
    whole, rest = divmod(abs(card_seconds), 3600)
    decimals = f"{rest * 10_000 // 3600:04d}".rstrip("0")
    return f"{'-' if card_seconds < 0 else ''}{whole}{'.' if decimals else ''}{decimals}"


def invoice_page(invoice: InvoiceOut) -> Page:
    """Return an invoice's rows."""
    start, end = (moment.astimezone(_BEIJING) for moment in (invoice.period_start, invoice.period_end))
    paid = "" if invoice.paid_at is None else f", {invoice.paid_at.astimezone(_BEIJING):%Y-%m-%d}"
    back = invoice.payable_fen < 0
    facts = (
        ("发票编号 Number", f"{invoice.number:06d}"),
        ("日期 Date", f"{invoice.issued_at.astimezone(_BEIJING):%Y-%m-%d}"),
        ("销售方 Supplier", f"{invoice.supplier.name} ({encode_id('org', invoice.supplier.id)})"),
        ("购买方 Buyer", f"{invoice.buyer.name} ({encode_id('org', invoice.buyer.id)})"),
        ("合同 Contract", encode_id("ctr", invoice.contract_id)),
        ("类别 Kind", _KINDS[invoice.kind]),
        ("付款状态 Payment", f"{_STATES[invoice.payment_state]}{paid}"),
    )
    period = f"{start:%Y-%m-%d %H:%M:%S} – {end:%Y-%m-%d %H:%M:%S} (UTC+8)"
    items = [
        (
            f"算力服务 Compute, {invoice.chip_model}, {invoice.region}, {period}",
            card_hours(invoice.card_seconds),
            format_cny(invoice.price_fen),
            format_cny(invoice.amount_fen),
        )
    ]
    for each in invoice.vouchers:
        given_back = each.kind is RedemptionKind.GIVEN_BACK
        what = "算力券退回 voucher given back" if given_back else "算力券抵扣 voucher redeemed"
        whose = "" if each.deducted else "（购买方自行申领 claimed by the buyer）"
        amount = each.amount_fen if given_back else -each.amount_fen
        name = f"{what}: {each.title.zh} {each.title.en}, {encode_id('vch', each.voucher_id)}{whose}"
        items.append((name, "", "", format_cny(amount) if each.deducted else f"({format_cny(-amount)})"))
    total = "应退金额 To be paid back" if back else "应付金额 To be paid"
    return Page(
        title="算力服务结算发票 Compute service invoice",
        facts=facts,
        head=("项目 Item", "卡时 Card-hours", "单价（元）CNY each", "金额（元）CNY"),
        items=tuple(items),
        totals=(
            (total, format_cny(abs(invoice.payable_fen))),
            ("金额大写 In words", capital_cny(abs(invoice.payable_fen))),
        ),
        notes=tuple(invoice.arithmetic),
    )


def render_html(invoice: InvoiceOut) -> str:
    """Return an invoice as an HTML document of its own, with no script and nothing to load."""
    page = invoice_page(invoice)
    return "\n".join(
        [
            '<!doctype html><html lang="zh-CN"><head><meta charset="utf-8">',
            f"<title>{escape(page.title)} {invoice.number:06d}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{escape(page.title)}</h1>",
            '<table class="facts">',
            *(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in page.facts),
            "</table><table><tr>",
            *(f"<th>{escape(name)}</th>" for name in page.head),
            "</tr>",
            *(_row(cells) for cells in page.items),
            *(_row((name, "", "", value), "total") for name, value in page.totals[:1]),
            "</table>",
            *(f"<p>{escape(name)}: <strong>{escape(value)}</strong></p>" for name, value in page.totals[1:]),
            *(f"<p>{escape(note)}</p>" for note in page.notes),
            "</body></html>\n",
        ]
    )


def _row(cells: Sequence[str], kind: str = "") -> str:
    first, *rest = (escape(cell) for cell in cells)
    named = f' class="{kind}"' if kind else ""
    amounts = "".join(f'<td class="amount">{cell}</td>' for cell in rest)
    return f"<tr{named}><td>{first}</td>{amounts}</tr>"


def render_pdf(invoice: InvoiceOut) -> bytes:
    """Return an invoice as a PDF of one or more A4 pages; the same invoice gives the same bytes.

    Raises:
        Problem: `pdf_unavailable` where ReportLab is not installed (the extra `pdf`).
    """
    if find_spec("reportlab") is None:
        raise PDF_UNAVAILABLE.problem()
    page = invoice_page(invoice)
    target = BytesIO()
    totals = [(name, "", "", value) for name, value in page.totals[:1]]
    notes = [*(f"{name}: {value}" for name, value in page.totals[1:]), *page.notes]
    title = f"{page.title} {invoice.number:06d}"
    write_pdf(target, title, page.facts, [page.head, *page.items, *totals], notes)
    return target.getvalue()


def arithmetic(*, price_fen: int, card_seconds_total: int, billed_before_fen: int, amount_fen: int) -> list[str]:
    """Return how a line came about, in both languages."""
    price, total = format_cny(price_fen), format_cny(billed_before_fen + amount_fen)
    before, amount = format_cny(billed_before_fen), format_cny(amount_fen)
    chinese = f"至此累计 {card_seconds_total} 卡秒 × {price} 元/卡时 ÷ 3600 = {total} 元"
    english = f"Up to here {card_seconds_total} card-seconds × {price} CNY per card-hour ÷ 3600 = {total} CNY"
    return [
        f"{chinese}，减去已开 {before} 元 = {amount} 元。",
        f"{english}, less {before} CNY billed before = {amount} CNY.",
    ]
