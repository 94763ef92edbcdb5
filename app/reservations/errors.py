"""What reservations refuse."""

from typing import Final

from app.kit.errors import ErrorCode, map_constraint

CAPACITY_TAKEN: Final = map_constraint(
    "reservation_within_capacity",
    ErrorCode(
        "capacity_taken",
        409,
        "The offer has not that many cards free for all of these hours any more. Ask for a new quote.",
        "该资源在所需时段内已无足够空闲卡，请重新询价。",
    ),
)
BLOCK_TAKEN: Final = map_constraint(
    "reservation_one_live_per_block",
    ErrorCode(
        "block_taken",
        409,
        "A block of this request has a reservation already. Read the request and ask for a new quote.",
        "该需求的某个分块已有预留，请重新读取需求并询价。",
    ),
)
WRONG_STATE: Final = ErrorCode(
    "reservation_state",
    409,
    "The reservation is {state}; this needs one that is {wanted}.",
    "该预留当前状态为 {state}，此操作需要其状态为 {wanted}。",
)
REQUEST_NOT_OPEN: Final = ErrorCode(
    "request_not_open",
    409,
    "The request is {state}; nothing can be booked for it.",
    "该需求当前状态为 {state}，无法预订。",
)
START_PASSED: Final = ErrorCode(
    "start_passed",
    409,
    "The start {starts_at} has passed. Ask for a new quote.",
    "开始时间 {starts_at} 已过，请重新询价。",
)
TOO_FEW_BLOCKS: Final = ErrorCode(
    "min_blocks",
    409,
    "With this the request would have {live} blocks, fewer than its min_blocks {min_blocks}. Ask for a new quote.",
    "预订后该需求仅有 {live} 个分块，少于其最少分块数 {min_blocks}，请重新询价。",
)
SIDE_NEEDED: Final = ErrorCode(
    "side_needed",
    422,
    "Say for which side you act: buyer or supplier.",
    "请说明代表哪一方：buyer 或 supplier。",
)
REASON_NOT_YOURS: Final = ErrorCode(
    "reason_not_yours",
    422,
    "This reason is not one of your side's; yours: {allowed}.",
    "此原因不属于您这一方；可用原因：{allowed}。",
)
ALREADY_ENDED: Final = ErrorCode(
    "already_ended",
    409,
    "The reservation ended at {ends_at}.",
    "该预留已于 {ends_at} 结束。",
)
EXTENSION_TOO_FAR: Final = ErrorCode(
    "extension_too_far",
    422,
    "A reservation has at most {most} hours.",
    "单个预留最长为 {most} 小时。",
)
NOT_CONFIRMED: Final = ErrorCode(
    "not_confirmed",
    409,
    "Contact and access instructions are shown once both sides have accepted; the reservation is {state}.",
    "双方确认后才会显示联系方式与接入说明；该预留当前状态为 {state}。",
)
