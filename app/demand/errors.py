"""What demand refuses, and what it accepts but remarks on."""

from dataclasses import dataclass
from typing import Final

from app.kit.errors import CHINESE, ErrorCode, map_constraint

REQUEST_REF_TAKEN: Final = map_constraint(
    "request_buyer_org_id_ref_key",
    ErrorCode("reference_taken", 409, "The buyer has a request with this reference.", "该买方已有使用此编号的需求。"),
)
BAD_SELECTOR: Final = ErrorCode("chip_selector", 422, "Not a chip selector: {why}.", "芯片选择式无效：{why}。")
UNKNOWN_SUPPLIER: Final = ErrorCode(
    "unknown_supplier", 422, "There is no supplier with the reference {ref}.", "没有编号为 {ref} 的供应商。"
)
SUPPLIER_BOTH_WAYS: Final = ErrorCode(
    "supplier_both_ways", 422, "{ref} is both allowed and refused.", "{ref} 同时被允许和拒绝。"
)
TOO_MANY_MIN_BLOCKS: Final = ErrorCode(
    "min_blocks_above_blocks", 422, "min_blocks is more than blocks.", "min_blocks 不能大于 blocks。"
)
PRIORITY_BY_DESK: Final = ErrorCode(
    "priority_by_desk_only",
    403,
    "The priority is set by the desk or by policy, never by the buyer.",
    "优先级只能由撮合席或政策设定，买方不能设定。",
)
REQUEST_STATE: Final = ErrorCode(
    "request_state",
    409,
    "The request is {state}; this can be done only while it is {wanted}.",
    "该需求当前状态为 {state}；仅在 {wanted} 状态下可执行此操作。",
)
REQUEST_RESERVED: Final = ErrorCode(
    "request_has_reservations",
    409,
    "The request is {state}: it has live reservations. Cancel them first.",
    "该需求当前状态为 {state}，仍有有效预留，请先取消预留。",
)


@dataclass(frozen=True, slots=True)
class NoticeKind:
    """A remark on a request that is accepted all the same. `en` and `zh` are templates."""

    code: str
    en: str
    zh: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A remark on one alternative, by its position."""

    kind: NoticeKind
    position: int
    params: dict[str, object]

    def detail(self, language: str) -> str:
        """Return the sentence for people in `en` or `zh-CN`."""
        return (self.kind.zh if language == CHINESE else self.kind.en).format(**self.params)


NO_SUCH_CHIP: Final = NoticeKind(
    "no_such_chip_on_offer", "No open offer has a chip that {chips} accepts.", "目前没有符合 {chips} 的在售芯片。"
)
LARGER_THAN_ANY: Final = NoticeKind(
    "larger_than_any_offer",
    "{cards} cards in one offer are asked for; the largest open offer of such chips has {largest}.",
    "单个资源需要 {cards} 卡，而目前此类芯片最大的在售资源为 {largest} 卡。",
)
WINDOW_TOO_SHORT: Final = NoticeKind(
    "window_too_short",
    "{hours} whole hours are asked for; the window holds {fits} from one whole hour to another.",
    "需要 {hours} 个整小时，而时间窗内只有 {fits} 个整小时。",
)
