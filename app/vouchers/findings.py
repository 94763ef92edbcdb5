"""What a rule found: each clause, met or not, and each step of the arithmetic, told in English or Chinese."""

from dataclasses import dataclass
from typing import Final

from app.kit.money import PPM, format_cny

EN: Final = "en"
ZH: Final = "zh-CN"


@dataclass(frozen=True, slots=True)
class Finding:
    """A clause of a programme: its stable name, whether it is met, what it needs and what was found (None: unknown)."""

    name: str
    met: bool
    needed: str
    found: str | None


@dataclass(frozen=True, slots=True)
class Step:
    """A step of an amount's arithmetic in fen; `detail` is a rate, a budget's name or what was excluded."""

    name: str
    amount_fen: int
    detail: str = ""


CLAUSES: Final[dict[str, tuple[str, str]]] = {
    "valid_from": ("the programme is in force on the day of application", "申请日在项目有效期内"),
    "valid_to": ("the programme is in force on the day of application", "申请日在项目有效期内"),
    "signed_from": ("the contract is signed in the programme's window", "合同在项目规定期限内签订"),
    "signed_to": ("the contract is signed in the programme's window", "合同在项目规定期限内签订"),
    "contract_year": ("the contract is applied for in the year of its signing", "合同在签订当年申请"),
    "term": ("the contract's term", "合同期限"),
    "application": ("one application for one contract", "一份合同只能申请一次"),
    "partner": ("the supplier is a partner of the programme", "供应方为项目算力伙伴"),
    "batch": ("the supplier is a partner of a batch that counts", "供应方属于有效批次的算力伙伴"),
    "affiliation": ("the supplier is affiliated with the buyer", "供需双方存在关联关系"),
    "centre": ("the supplier's centre is large enough", "供应方智算中心规模达标"),
    "other_subsidy": ("other subsidies on the contract", "合同享受的其他补贴"),
    "domestic": ("domestic chips", "国产芯片"),
    "workload": ("the workload", "算力用途"),
    "min_contract": ("the contract's amount", "合同金额"),
    "max_contract": ("the contract's amount", "合同金额"),
    "max_year_contracts": ("the year's contracts with this whole request", "含本次需求的年度合同总额"),
    "kind": ("the buyer's kind", "需求方类型"),
    "prior_year_revenue": ("main revenue of the year before", "上年度主营业务收入"),
    "max_prior_year_revenue": ("main revenue of the year before", "上年度主营业务收入"),
    "integrity": ("the integrity record", "信用记录"),
    "clean_years": ("a clean integrity record since", "信用记录良好起始日"),
    "project_lead": ("lead of a project", "项目牵头单位级别"),
    "registered_city": ("the registered place", "注册地"),
    "minimum_voucher": ("the voucher's least amount", "算力券最低面额"),
}
STEPS: Final[dict[str, tuple[str, str]]] = {
    "contract": ("amount", "金额"),
    "excluded": ("excluded", "不计入项"),
    "base": ("base", "补贴基数"),
    "rate": ("rate x base, rounded down", "比例 x 基数（向下取整）"),
    "contract_cap": ("most for one contract", "单合同上限"),
    "left": ("left of", "剩余额度"),
    "ceiling": ("left under the ceiling of all subsidies", "补贴合计上限余额"),
    "least": ("the least of these", "取最小值"),
    "minimum": ("below the least voucher: nothing", "低于最低面额，不予发放"),
    "amount": ("voucher", "算力券金额"),
}
_UNKNOWN: Final = {EN: "not known", ZH: "未知"}
_ZH_WORDS: Final = {
    "startup": "初创企业",
    "sme": "中小企业",
    "enterprise": "企业",
    "institute": "科研院所",
    "university": "高校",
    "clean": "良好",
    "flagged": "有不良记录",
    "none": "无",
    "provincial": "省级",
    "national": "国家级",
    "yes": "是",
    "no": "否",
}


def _words(text: str, language: str) -> str:
    return text if language == EN else "、".join(_ZH_WORDS.get(word, word) for word in text.split(", "))


def tell_finding(finding: Finding, language: str = EN) -> str:
    """Return a clause as a sentence: what it is about, what it needs, what was found."""
    label = CLAUSES[finding.name][language != EN]
    found = _UNKNOWN[language] if finding.found is None else _words(finding.found, language)
    needed = _words(finding.needed, language)
    return f"{label}: {found}, needed {needed}" if language == EN else f"{label}：{found}，要求 {needed}"


def tell_step(step: Step, language: str = EN) -> str:
    """Return a step of the arithmetic as a line."""
    label = STEPS[step.name][language != EN]
    detail = f" {step.detail}" if step.detail else ""
    return f"{label}{detail}: {format_cny(step.amount_fen)} CNY"


def percent(rate_ppm: int) -> str:
    """Return a rate as a percentage without needless zeros: 500 000 → `50%`."""
    whole, rest = divmod(rate_ppm * 100, PPM)
    return f"{whole}%" if not rest else f"{whole}.{rest:06d}".rstrip("0") + "%"
