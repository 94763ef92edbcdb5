"""What deliveries and settlements refuse."""

from typing import Final

from app.kit.errors import ErrorCode, map_constraint

NOT_STARTED: Final = ErrorCode(
    "delivery_not_started",
    409,
    "The reservation is {state}: nothing is delivered under it before it runs.",
    "该预留当前状态为 {state}，开始运行之前没有可申报的交付。",
)
ENDED_UNUSED: Final = map_constraint(
    "delivery_report_of_running",
    ErrorCode(
        "delivery_reservation_ended",
        409,
        "The reservation was cancelled or has expired before it ran: nothing was delivered under it.",
        "该预留在运行前已取消或过期，不存在任何交付。",
    ),
)
REPORTS_REFUSED: Final = ErrorCode(
    "deliveries_refused",
    422,
    "{count} of the reports can't be taken, so none was; see errors.",
    "有 {count} 条交付记录无法受理，因此全部未受理，详见 errors。",
)
OUTSIDE: Final = map_constraint(
    "delivery_report_within_reservation",
    ErrorCode(
        "outside_reservation",
        422,
        "The period is not within the reservation.",
        "该时段不在预留期间之内。",
    ),
)
ABOVE_RESERVED: Final = map_constraint(
    "delivery_report_within_reserved",
    ErrorCode(
        "above_reserved",
        422,
        "These are more card-seconds than were reserved for the period: cards × seconds.",
        "卡秒数超过该时段的预留量（卡数 × 秒数）。",
    ),
)
OVERLAPS: Final = map_constraint(
    "delivery_report_no_overlap",
    ErrorCode(
        "overlaps",
        409,
        "The period overlaps another report's. To change a report, name it in corrects_id.",
        "该时段与另一条交付记录重叠；如需更正，请在 corrects_id 中指明原记录。",
    ),
)
OTHER_PERIOD: Final = map_constraint(
    "delivery_report_corrects_same_period",
    ErrorCode(
        "corrects_other_period",
        422,
        "A correction is for the period of the report that it corrects.",
        "更正记录的时段必须与被更正的记录相同。",
    ),
)
ALREADY_CORRECTED: Final = map_constraint(
    "delivery_report_one_correction",
    ErrorCode(
        "already_corrected",
        409,
        "This report has been corrected already. Correct the newest report of the period.",
        "该记录已被更正，请更正该时段的最新记录。",
    ),
)
UNKNOWN_REPORT: Final = ErrorCode(
    "unknown_report",
    422,
    "The reservation has no such report to correct.",
    "该预留没有可更正的此条记录。",
)
NOT_OVER: Final = ErrorCode(
    "period_not_over",
    422,
    "The period is not over yet; a report is of what was metered, so it comes afterwards.",
    "该时段尚未结束；交付记录须在时段结束之后申报。",
)
PART_SECONDS: Final = map_constraint(
    "delivery_report_whole_seconds",
    ErrorCode("not_whole_seconds", 422, "A period begins and ends on whole seconds.", "时段的起止时间须为整秒。"),
)
PERIOD_ORDER: Final = map_constraint(
    "delivery_report_period_ordered",
    ErrorCode("period_order", 422, "The period ends before it begins.", "时段的结束时间早于开始时间。"),
)
BELOW_ZERO: Final = map_constraint(
    "delivery_report_card_seconds_range",
    ErrorCode(
        "below_zero",
        422,
        "Card-seconds are never below 0; a correction tells the whole period's figure, not the difference.",
        "卡秒数不得小于 0；更正记录应填写整个时段的数值，而非差额。",
    ),
)
COVERS_DELIVERIES: Final = map_constraint(
    "reservation_covers_deliveries",
    ErrorCode(
        "reservation_delivered",
        409,
        "The reservation can't be cut to less than what was reported as delivered.",
        "该预留不能缩减到少于已申报的交付量。",
    ),
)
NOT_IN_FORCE: Final = ErrorCode(
    "report_corrected",
    409,
    "This report was corrected by a later one. Look at that one.",
    "该记录已被后来的记录更正，请查看最新记录。",
)
ALREADY_DISPUTED: Final = ErrorCode(
    "already_disputed",
    409,
    "This report is disputed already, since {disputed_at}.",
    "该记录自 {disputed_at} 起已处于争议中。",
)
NOT_DISPUTED: Final = ErrorCode(
    "not_disputed",
    409,
    "This report is not disputed.",
    "该记录没有争议。",
)
PAYMENT_STATE: Final = ErrorCode(
    "payment_state",
    409,
    "The settlement is {state}; only an open one can be paid.",
    "该结算单当前状态为 {state}，只有待付款的结算单可以登记付款。",
)
OTHER_AMOUNT: Final = ErrorCode(
    "payment_differs",
    422,
    "What is to be paid is {payable_fen} fen, not {amount_fen}.",
    "应付金额为 {payable_fen} 分，而非 {amount_fen} 分。",
)
PAID_LATER: Final = ErrorCode(
    "paid_in_future", 422, "A payment can't be recorded before it was made.", "不能登记尚未发生的付款。"
)
NO_CONTRACT: Final = ErrorCode(
    "no_contract",
    409,
    "The reservation has no contract yet; it is made when both sides have accepted.",
    "该预留尚无合同；双方确认后才会生成合同。",
)
PDF_UNAVAILABLE: Final = ErrorCode(
    "pdf_unavailable",
    501,
    "This service has no ReportLab to write PDF with. Install it beside the service with pip install 'cardhour[pdf]',"
    " or ask for format=html.",
    "本服务未安装生成 PDF 所需的 ReportLab。请在服务端执行 pip install 'cardhour[pdf]'，或改用 format=html。",
)
