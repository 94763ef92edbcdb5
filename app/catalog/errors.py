"""What the catalogue refuses."""

from typing import Final

from app.kit.errors import ErrorCode, map_constraint

UNKNOWN_CHIP: Final = ErrorCode(
    "unknown_chip",
    422,
    "The catalogue has no chip model or class {name}; see GET /v1/chips.",
    "目录中没有型号或类别 {name}，请查看 GET /v1/chips。",
)
CHIP_EXISTS: Final = map_constraint(
    "chip_model_pkey",
    ErrorCode("chip_exists", 409, "A chip model of this name exists.", "该名称的芯片型号已存在。"),
)
CHIP_NAME: Final = ErrorCode("chip_name", 422, "Not a chip model's name: {why}.", "芯片型号名称无效：{why}。")
SPEED_UNKNOWN: Final = ErrorCode(
    "fp16_speed_unknown",
    409,
    "The dense FP16 speed of {name} is unknown, so P and cards of it can't be converted.",
    "{name} 的稠密 FP16 算力未知，无法在 P 与卡数之间换算。",
)
ONE_QUANTITY: Final = ErrorCode(
    "one_quantity_only", 422, "Give exactly one of petaflops and cards.", "petaflops 与 cards 须且只能给出一个。"
)
OFFER_REF_TAKEN: Final = map_constraint(
    "offer_supplier_org_id_ref_key",
    ErrorCode(
        "reference_taken", 409, "The supplier has an offer with this reference.", "该供应商已有使用此编号的资源。"
    ),
)
PRICE_ONE_WAY: Final = ErrorCode(
    "price_one_way",
    422,
    "Give the price in exactly one way: per card-hour (price_fen, list_price_fen) or per instance-month of 730 hours "
    "(posted_fen_per_instance_month, listed_fen_per_instance_month).",
    "价格须且只能以一种方式给出：每卡时（price_fen、list_price_fen）或每实例月 730 小时"
    "（posted_fen_per_instance_month、listed_fen_per_instance_month）。",
)
PRICE_ABOVE_LIST: Final = ErrorCode("price_above_list", 422, "The price is above the list price.", "价格高于目录价。")
PRICE_TOO_HIGH: Final = ErrorCode(
    "price_too_high",
    422,
    "The price comes to {price_fen} fen per card-hour, more than the {most} allowed.",
    "价格折合每卡时 {price_fen} 分，超过上限 {most}。",
)
CAPACITY_ENDS_AT_ZERO: Final = map_constraint(
    "capacity_ends_at_zero",
    ErrorCode(
        "capacity_ends_at_zero",
        422,
        "The last step of the capacity must be 0 cards: it says when the offer ends.",
        "容量的最后一级必须为 0 卡，表示该资源何时结束。",
    ),
)
CAPACITY_NOT_ASCENDING: Final = ErrorCode(
    "capacity_not_ascending",
    422,
    "Each step of the capacity must begin after the one before it.",
    "容量的每一级必须晚于前一级开始。",
)
CAPACITY_BELOW_COMMITMENTS: Final = map_constraint(
    "capacity_covers_commitments",
    ErrorCode(
        "capacity_below_commitments",
        409,
        "The capacity would fall below what is reserved; see the offer's capacity for what is free.",
        "容量将低于已预留的数量；空闲情况请查看该资源的容量。",
    ),
)
OFFER_STATE: Final = ErrorCode("offer_state", 409, "The offer is {state} already.", "该资源已处于 {state} 状态。")
OFFER_COMMITTED: Final = ErrorCode(
    "offer_committed",
    409,
    "Reservations were made on this offer's region; list another offer instead.",
    "已有预留基于该资源所在地区，请另行发布新的资源。",
)
WINDOW_ORDER: Final = ErrorCode(
    "window_order", 422, "The window must end after it starts.", "时间窗的结束必须晚于开始。"
)
