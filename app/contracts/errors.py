"""What contracts and applications refuse, and why an application was not granted."""

from typing import Final

from app.kit.errors import ErrorCode, map_constraint

APPLICATION_EXISTS: Final = map_constraint(
    "voucher_application_one_per_contract",
    ErrorCode(
        "application_exists",
        409,
        "A contract applies once under a programme (clause: one application per contract); it has done so.",
        "一份合同在同一项目下只能申请一次（条款：一合同一申请），该合同已申请。",
    ),
)
NOTHING_TO_APPLY_FOR: Final = ErrorCode(
    "nothing_to_apply_for",
    409,
    "No voucher was set aside for this contract, so there is nothing to apply for.",
    "该合同没有预留的算力券额度，无可申请。",
)
APPLICATION_STATE: Final = ErrorCode(
    "application_state",
    409,
    "The application is {state}; this needs one that is {wanted}.",
    "该申请当前状态为 {state}，此操作需要其状态为 {wanted}。",
)
RULE_REFUSES: Final = ErrorCode(
    "clause_unmet",
    409,
    "The programme's rules refuse it. Clauses not met: {clauses}.",
    "不符合项目规则，未满足的条款：{clauses}。",
)
AMOUNT_ABOVE_RULE: Final = ErrorCode(
    "amount_above_rule",
    422,
    "The rules and the earmark give at most {most} fen.",
    "按规则及预留额度最多可发放 {most} 分。",
)
CHOICE_OVER: Final = ErrorCode(
    "choice_over",
    409,
    "The time to accept the full price ended at {ends_at}.",
    "接受全价的期限已于 {ends_at} 结束。",
)
PAYMENT_FIXED: Final = ErrorCode(
    "payment_fixed",
    409,
    "How a contract is paid for is fixed once it begins; its reservation is {state}.",
    "合同开始履行后付款方式不可更改；其预留当前状态为 {state}。",
)
EVALUATED: Final = map_constraint(
    "evaluation_pkey",
    ErrorCode("already_evaluated", 409, "The contract has been evaluated.", "该合同已完成评价。"),
)
NOT_OVER: Final = ErrorCode(
    "not_over",
    409,
    "A contract is evaluated once its reservation is completed; it is {state}.",
    "预留完成后方可评价合同；其当前状态为 {state}。",
)
EVALUATION_LATE: Final = ErrorCode(
    "evaluation_late",
    409,
    "The programme {programme} evaluates until {until}.",
    "项目 {programme} 的评价截止时间为 {until}。",
)
VOUCHER_STATE: Final = ErrorCode(
    "voucher_state",
    409,
    "The voucher is {state}; this needs one that is {wanted}.",
    "该算力券当前状态为 {state}，此操作需要其状态为 {wanted}。",
)
NOT_A_FREE_BONUS: Final = ErrorCode(
    "not_a_free_bonus",
    409,
    "Only a bonus voucher that is not used yet can be put on a contract.",
    "只有尚未使用的奖励券可以用于合同。",
)
OTHER_BUYER: Final = ErrorCode(
    "other_buyer", 409, "The voucher and the contract are of different buyers.", "算力券与合同不属于同一需求方。"
)
ONE_FILE: Final = ErrorCode(
    "one_file", 422, "Send exactly one file in the form field file.", "请在表单字段 file 中上传且仅上传一个文件。"
)
DOCUMENT_FIELD: Final = ErrorCode(
    "unknown_form_field",
    422,
    "This form has no field {name}; it takes file and kind.",
    "此表单没有字段 {name}；可用 file、kind。",
)
DOCUMENT_KIND: Final = ErrorCode("form_value", 422, "kind takes {wanted}.", "kind 的取值应为：{wanted}。")
DOCUMENT_TYPE: Final = ErrorCode(
    "document_type",
    422,
    "A document is a PDF, a PNG or a JPEG; this content is none of them.",
    "文件须为 PDF、PNG 或 JPEG，所上传内容均不是。",
)
DOCUMENT_NAME: Final = ErrorCode(
    "document_name", 422, "A document's name has 1 to 200 printable characters.", "文件名须为 1 至 200 个可见字符。"
)

# Why an application was rejected or withdrawn, by the code on record.
REASONS: Final = {
    each.code: each
    for each in (
        RULE_REFUSES,
        ErrorCode("funds_exhausted", 409, "The programme's budgets have nothing left.", "项目额度已用完。"),
        ErrorCode(
            "programme_not_open",
            409,
            "The programme is not open for the year of the signing.",
            "该项目在合同签订年度未开放。",
        ),
        ErrorCode("desk_check_failed", 409, "What the desk checks did not hold.", "经办核验未通过。"),
        ErrorCode("documents_insufficient", 409, "The documents do not suffice.", "材料不足。"),
        ErrorCode("false_statement", 409, "Something stated was not true.", "申报内容不实。"),
        ErrorCode("desk_decision", 409, "The desk decided so.", "经办部门决定。"),
        ErrorCode("withdrawn_by_buyer", 409, "The buyer withdrew it.", "需求方已撤回。"),
        ErrorCode("reservation_ended", 409, "Its reservation ended first.", "其预留已先行结束。"),
    )
}
