"""What claims and advances refuse."""

from typing import Final

from app.kit.errors import ErrorCode, map_constraint

NOT_CLAIMANT: Final = ErrorCode(
    "not_the_claimant",
    403,
    "Under {programme} the {by} claims, for itself; this is not yours to claim.",
    "{programme} 由{by_zh}为自身申领，您不能申领此项。",
)
CLAIMANT_NEEDED: Final = ErrorCode(
    "claimant_needed",
    422,
    "Say for which organisation the desk claims: claimant_org_id.",
    "经办部门代为申领时须在 claimant_org_id 中指明申领单位。",
)
OTHER_PERIOD: Final = ErrorCode(
    "other_period",
    422,
    "The programme is claimed by the {cadence}; name one such as {example}.",
    "该项目的申领周期为 {cadence}，请按 {example} 的形式填写。",
)
PERIOD_NOT_OVER: Final = ErrorCode(
    "claim_period_not_over",
    409,
    "{period} is claimed after its end, {end}.",
    "{period} 须在其结束（{end}）后申领。",
)
CLAIM_LATE: Final = ErrorCode(
    "claim_late",
    409,
    "{period} could be claimed until {until}.",
    "{period} 的申领已于 {until} 截止。",
)
OUTSIDE_PERIOD: Final = ErrorCode(
    "outside_period",
    422,
    "This was redeemed at {at}, not in {period}; claim it with the period that it is of.",
    "该抵扣发生于 {at}，不属于 {period}，请在其所属周期申领。",
)
UNKNOWN_REDEMPTION: Final = ErrorCode(
    "unknown_redemption",
    422,
    "There is no such redemption under this programme's version.",
    "该项目版本下没有此笔抵扣。",
)
ALREADY_CLAIMED: Final = map_constraint(
    "claim_line_one_live_claim",
    ErrorCode(
        "already_claimed",
        409,
        "A redemption is in at most one live claim; one of these is in a claim already.",
        "一笔抵扣只能列入一份有效申领，其中有已列入其他申领的抵扣。",
    ),
)
VOUCHER_REVOKED: Final = ErrorCode(
    "voucher_revoked",
    409,
    "The voucher was revoked: what it redeemed is not claimed any more.",
    "该算力券已撤销，其抵扣不再受理申领。",
)
NOTHING_TO_CLAIM: Final = ErrorCode(
    "nothing_to_claim",
    409,
    "Nothing that was redeemed under {programme} in {period} is left to claim.",
    "{programme} 在 {period} 没有可申领的抵扣。",
)
CLAIM_DIFFERS: Final = ErrorCode(
    "claim_differs",
    422,
    "What can be claimed is {claimable_fen} fen, not {amount_fen}.",
    "可申领金额为 {claimable_fen} 分，而非 {amount_fen} 分。",
)
PROOFS_MISSING: Final = ErrorCode(
    "proofs_missing",
    422,
    "The programme asks for these proofs too: {missing}. Upload them by POST /v1/claim-proofs and name them in proofs.",
    "还须提交以下证明材料：{missing}。请先通过 POST /v1/claim-proofs 上传，再在 proofs 中列明。",
)
UNKNOWN_PROOF: Final = ErrorCode(
    "unknown_proof",
    422,
    "The programme asks for no proof of this kind; its kinds are: {kinds}.",
    "该项目不要求此类证明材料；所需种类为：{kinds}。",
)
UNKNOWN_DOCUMENT: Final = ErrorCode(
    "unknown_document", 422, "The claimant has no such document.", "申领单位没有此文件。"
)
PROOF_TWICE: Final = ErrorCode(
    "proof_twice", 422, "This document is named twice for one kind.", "同一文件在同一种类下重复列出。"
)
CLAIM_STATE: Final = ErrorCode(
    "claim_state",
    409,
    "The claim is {state}; this needs one that is {wanted}.",
    "该申领当前状态为 {state}，此操作需要其状态为 {wanted}。",
)
UNKNOWN_LINE: Final = ErrorCode("unknown_line", 422, "The claim has no such line.", "该申领没有此明细。")
LINE_TWICE: Final = ErrorCode("line_twice", 422, "This line is named twice.", "该明细重复列出。")
ALL_REJECTED: Final = ErrorCode(
    "all_lines_rejected",
    422,
    "This would reject every line; reject the claim by /reject instead.",
    "此操作将驳回全部明细；请改用 /reject 驳回整份申领。",
)
CLAIM_PAYMENT_DIFFERS: Final = ErrorCode(
    "claim_payment_differs",
    422,
    "What is to be paid is {cash_fen} fen, not {amount_fen}: {approved_fen} approved, less {netted_fen} advanced before"
    " and {recovered_fen} owed for revoked vouchers.",
    "应付金额为 {cash_fen} 分，而非 {amount_fen} 分：核准 {approved_fen} 分，扣除预拨备用金 {netted_fen} 分、"
    "已撤销算力券应退 {recovered_fen} 分。",
)
NO_RESERVE_FUND: Final = ErrorCode(
    "no_reserve_fund",
    409,
    "{programme} has no reserve fund that suppliers are advanced from.",
    "{programme} 未设可向供应方预拨的备用金。",
)
NOT_OPENED: Final = ErrorCode(
    "programme_never_opened",
    409,
    "{programme} was never opened for a year, so there is no money to advance.",
    "{programme} 尚未开放任何年度，没有可预拨的资金。",
)
NOT_A_SUPPLIER: Final = ErrorCode(
    "not_a_supplier", 422, "Only an approved supplier is advanced money.", "只能向已审核通过的供应方预拨资金。"
)
ADVANCE_ABOVE_CAP: Final = ErrorCode(
    "advance_above_cap",
    409,
    "A supplier has at most {cap_fen} fen in advance; {outstanding_fen} are not made up for yet.",
    "每家供应方预拨上限为 {cap_fen} 分，尚未抵扣的预拨款为 {outstanding_fen} 分。",
)
