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
