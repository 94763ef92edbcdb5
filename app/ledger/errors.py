"""What the ledger refuses."""

from typing import Final

from app.kit.errors import ErrorCode, map_constraint

FUNDS_EXHAUSTED: Final = map_constraint(
    "ledger_account_debits_within_credits",
    ErrorCode(
        "funds_exhausted",
        409,
        "A budget that this draws on (a programme's pool, a buyer's cap, a voucher) has not that much left.",
        "所动用的额度（项目年度资金池、单位年度上限或算力券）余额不足。",
    ),
)
OVERCREDITED: Final = map_constraint(
    "ledger_account_credits_within_debits",
    ErrorCode(
        "overcredited",
        409,
        "An account of the ledger would be credited with more than was debited to it.",
        "账户的贷方金额将超过其借方金额。",
    ),
)
ALREADY_RESOLVED: Final = map_constraint(
    "ledger_transfer_one_resolution",
    ErrorCode(
        "already_resolved",
        409,
        "A pending transfer was posted, voided or expired before; it is resolved once.",
        "该待定转账已入账、作废或过期；每笔只能处理一次。",
    ),
)
TRANSFER_EXISTS: Final = map_constraint(
    "ledger_transfer_pkey",
    ErrorCode("transfer_exists", 409, "A transfer with this id is on record.", "该编号的转账已有记录。"),
)
RESOLUTION_MISMATCH: Final = map_constraint(
    "ledger_transfer_matches_pending",
    ErrorCode(
        "resolution_mismatch",
        409,
        "A post, void or expire needs a pending transfer between the same accounts, of at least its amount.",
        "入账、作废或过期须对应同一对账户之间、金额不小于其数的待定转账。",
    ),
)
map_constraint("ledger_transfer_pending_id_fkey", RESOLUTION_MISMATCH)
NOT_POSTED: Final = ErrorCode(
    "transfer_not_posted",
    409,
    "Only what was posted (single, post) and is no correction can be corrected. Void a pending transfer instead.",
    "只有已入账（single、post）且本身不是更正的转账可以更正；待定转账请作废。",
)
CORRECTED_WITH_ITS_SUBJECT: Final = ErrorCode(
    "transfer_of_a_subject",
    409,
    "The transfer belongs to a voucher's life, which would no longer agree with its money. Correct what made it: revoke"
    " the voucher, correct the delivery, or reject the claim.",
    "该转账属于某张算力券的流转，单独更正会使两者不符。请更正其来源：撤销该券、更正交付记录或驳回申领。",
)
CORRECTED_BEYOND: Final = map_constraint(
    "ledger_correction_fits",
    ErrorCode(
        "corrected_beyond_zero",
        409,
        "A transfer's corrections can't take back more than it posted. Its statement shows what was corrected before.",
        "更正金额累计不得超过原转账的入账金额；已有更正见对账单。",
    ),
)
EXPORT_TOO_LARGE: Final = ErrorCode(
    "ledger_export_too_large",
    422,
    "That is {lines} lines; one export has at most {most}. Ask for one programme, organisation or account.",
    "共 {lines} 行，单次导出最多 {most} 行；请按项目、单位或账户导出。",
)
