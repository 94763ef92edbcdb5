"""What accounts refuse."""

from typing import Final

from app.kit.errors import ErrorCode, map_constraint

NOT_APPROVED: Final = ErrorCode(
    "organisation_not_approved",
    403,
    "The organisation is {state}; the desk must approve it before it can do this.",
    "该单位当前状态为 {state}，须经撮合席批准后才能执行此操作。",
)
REF_TAKEN: Final = map_constraint(
    "organisation_role_role_ref_key",
    ErrorCode(
        "reference_taken",
        409,
        "An organisation with this reference and role exists.",
        "该编号在此角色下已被使用。",
    ),
)
DECIDED: Final = ErrorCode(
    "already_decided",
    409,
    "The organisation is {state}; it can't become {wanted}.",
    "该单位当前状态为 {state}，不能变为 {wanted}。",
)
FACT_EXISTS: Final = map_constraint(
    "organisation_fact_org_id_key_valid_from_key",
    ErrorCode(
        "fact_exists",
        409,
        "A fact of this kind from this date on is on record and is never overwritten. Record one from another date.",
        "该日期起的同类事实已有记录；事实不会被覆盖，请使用其他生效日期。",
    ),
)
FACT_VALUE: Final = ErrorCode("fact_value", 422, "{key} takes {wanted}.", "{key} 的取值应为：{wanted}。")
SELF_AFFILIATION: Final = ErrorCode(
    "self_affiliation", 422, "An organisation is not affiliated with itself.", "单位不能与自身关联。"
)
AFFILIATION_EXISTS: Final = map_constraint(
    "affiliation_pkey",
    ErrorCode(
        "affiliation_exists",
        409,
        "This affiliation from this date on is on record.",
        "该日期起的关联关系已有记录。",
    ),
)
NOT_A_SUPPLIER: Final = ErrorCode("not_a_supplier", 422, "The organisation is not a supplier.", "该单位不是供应商。")
PARTNER_EXISTS: Final = map_constraint(
    "partner_list_entry_pkey",
    ErrorCode("partner_exists", 409, "The supplier is on this list.", "该供应商已在此名单上。"),
)
ROLE_NOT_HELD: Final = ErrorCode(
    "role_not_held",
    422,
    "A key can act only as what its organisation is: {held}.",
    "密钥的角色不能超出其单位的角色：{held}。",
)
ALREADY_EXPIRED: Final = ErrorCode(
    "already_expired", 422, "The key's end must lie ahead.", "密钥的到期时间必须在将来。"
)
