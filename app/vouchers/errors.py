"""What vouchers refuse."""

from typing import Final

from app.kit.errors import ErrorCode, map_constraint

YEAR_OPEN: Final = map_constraint(
    "programme_year_pkey",
    ErrorCode(
        "programme_year_open",
        409,
        "The programme has been opened for this year; its budgets are on the ledger.",
        "该项目在此年度已开放，其额度已记入账本。",
    ),
)
PROGRAMME_NOT_OPEN: Final = ErrorCode(
    "programme_not_open",
    409,
    "The programme {programme} is not open for {year}.",
    "项目 {programme} 在 {year} 年度未开放。",
)
OTHER_VERSION: Final = ErrorCode(
    "programme_version",
    409,
    "The programme {programme} is open for {year} under version {open}, not {version}.",
    "项目 {programme} 在 {year} 年度适用第 {open} 版，而非第 {version} 版。",
)
UNKNOWN_TIER: Final = ErrorCode(
    "unknown_tier",
    409,
    "The programme {programme} version {version} has no tier {tier}.",
    "项目 {programme} 第 {version} 版没有档次 {tier}。",
)
VOUCHER_TAKEN: Final = map_constraint(
    "voucher_one_live_per_programme",
    ErrorCode(
        "voucher_taken",
        409,
        "A reservation has one voucher of a programme at most; there is one already.",
        "同一预留在一个项目下最多有一张算力券，现已存在。",
    ),
)
