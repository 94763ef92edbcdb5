"""What search, quotes and booking refuse, and why a quote may be empty."""

from enum import StrEnum
from typing import Final

from app.kit.errors import CHINESE, ErrorCode

SHAPE_INCOMPLETE: Final = ErrorCode(
    "shape_incomplete",
    422,
    "A shape is cards, hours, from and to: give all four or none.",
    "形状由 cards、hours、from、to 组成，须同时给出或都不给。",
)
SORT_NEEDS_SHAPE: Final = ErrorCode(
    "sort_needs_shape",
    422,
    "Only a list for a shape (cards, hours, from, to) has earliest starts to sort by.",
    "仅在给出形状（cards、hours、from、to）时才能按最早开始时间排序。",
)
ONE_NEED: Final = ErrorCode(
    "one_need_only",
    422,
    "Give exactly one of request_id and need.",
    "request_id 与 need 须且只能给出一个。",
)
BLOCKS_OF_REQUEST: Final = ErrorCode(
    "blocks_out_of_range",
    422,
    "The request has {left} blocks left to place; for a need, say its blocks inside it.",
    "该需求还有 {left} 个分块待安排；若为 need，请在其中给出 blocks。",
)
NO_SUCH_OPTION: Final = ErrorCode(
    "no_such_option", 422, "The quote has {count} options, from 1.", "该报价共有 {count} 个选项，从 1 开始。"
)
QUOTE_EXPIRED: Final = ErrorCode(
    "quote_expired",
    409,
    "The quote was good until {expires_at}. Ask for a new one.",
    "该报价有效期至 {expires_at}，请重新询价。",
)
QUOTE_STALE: Final = ErrorCode(
    "quote_stale",
    409,
    "The offer {offer_ref} has changed since it was quoted. Ask for a new quote.",
    "资源 {offer_ref} 在报价后已变更，请重新询价。",
)
REQUEST_CHANGED: Final = ErrorCode(
    "request_changed",
    409,
    "The request was edited since it was quoted. Ask for a new quote.",
    "该需求在报价后已被修改，请重新询价。",
)
SUBSIDY_CHANGED: Final = ErrorCode(
    "subsidy_changed",
    409,
    "The voucher of {programme} ({tier}) that was quoted on {offer_ref} is not given any more. Ask for a new quote.",
    "报价中资源 {offer_ref} 的 {programme}（{tier}）算力券已不再适用，请重新询价。",
)
QUOTE_BOOKED: Final = ErrorCode(
    "quote_booked",
    409,
    "The quote was booked before; its request exists. Ask for a new quote to book more.",
    "该报价已被预订，对应需求已存在；如需再次预订请重新询价。",
)


class EmptyReason(StrEnum):
    """Why nothing can be offered: the first that holds, in this order."""

    NO_CHIP = "no_chip"
    NO_SITE = "no_site"
    TOO_LARGE = "too_large_for_any_offer"
    NO_WINDOW = "no_window"
    OVER_BUDGET = "over_budget"
    SUBSIDY_EXHAUSTED = "subsidy_exhausted"
    MIN_BLOCKS = "min_blocks"
    FRAGMENTED = "fragmented"
    SOLD_OUT = "sold_out"


_REASON_TEXTS: Final = {
    EmptyReason.NO_CHIP: ("No open offer has a chip that would do.", "没有任何在售资源提供所需芯片。"),
    EmptyReason.NO_SITE: (
        "Offers have the chip, but none where the site rules allow it.",
        "有所需芯片的资源，但均不符合站点要求。",
    ),
    EmptyReason.TOO_LARGE: (
        "No acceptable offer ever has that many cards at once.",
        "没有任何可接受的资源能同时提供这么多卡。",
    ),
    EmptyReason.NO_WINDOW: (
        "No acceptable offer has capacity for all of these hours inside the window, even if nothing were booked.",
        "即使没有任何预订，也没有可接受的资源能在时间窗内连续提供所需时长。",
    ),
    EmptyReason.OVER_BUDGET: (
        "Every offer that would do costs more than the most given, whatever vouchers could take off.",
        "即使计入全部算力券补贴，可用资源的价格仍高于上限。",
    ),
    EmptyReason.SUBSIDY_EXHAUSTED: (
        "The voucher budgets have not enough left to bring what would do down to the most given.",
        "算力券剩余额度不足以将可用资源的价格降至上限以内。",
    ),
    EmptyReason.MIN_BLOCKS: (
        "Some blocks would fit now, but not as many as are asked for.",
        "目前只能安排部分分块，达不到要求的数量。",
    ),
    EmptyReason.FRAGMENTED: (
        "Enough card-hours are free inside the window, but no one offer has the cards together for the hours.",
        "时间窗内空闲卡时足够，但没有单个资源能连续提供所需卡数。",
    ),
    EmptyReason.SOLD_OUT: ("What would do is booked.", "可用资源已被订满。"),
}


def reason_text(reason: EmptyReason, language: str) -> str:
    """Return a reason as a sentence in `en` or `zh-CN`."""
    english, chinese = _REASON_TEXTS[reason]
    return chinese if language == CHINESE else english
