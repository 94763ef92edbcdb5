"""Signs of abuse, for the desk to look at: they decide nothing, only the rules refuse.

Pure: each function takes what is on record and returns the signals that it finds. Amounts in fen; thresholds are this
module's own, since no programme publishes any.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from statistics import median_low
from typing import Final

from app.kit.errors import CHINESE
from app.kit.money import format_cny

# A price is raised when it is more than so many per cent above the median of those compared with.
RAISED_PERCENT: Final = 10
RECENT: Final = timedelta(days=180)
# Contracts are split when several of at least so many per cent of a threshold are signed within so many days.
JUST_UNDER_PERCENT: Final = 90
SPLIT_WITHIN: Final = timedelta(days=30)


class SignalCode(StrEnum):
    """What a signal is of."""

    AFFILIATED_PARTIES = "affiliated_parties"
    PRICE_ABOVE_RECENT = "price_above_recent"
    PRICE_ABOVE_NON_VOUCHER = "price_above_non_voucher"
    SPLIT_CONTRACTS = "split_contracts"
    CLAIMED_ABOVE_METERED = "claimed_above_metered"
    PROOF_REUSED = "proof_reused"


@dataclass(frozen=True, slots=True)
class Signal:
    """A sign of abuse: of which thing (its id), what was found, and what it was held against."""

    code: SignalCode
    of: str
    found: str
    against: str


@dataclass(frozen=True, slots=True)
class Sale:
    """A contract that was signed: its price in fen per card-hour, and whether a voucher was applied for."""

    signed_at: datetime
    price_fen: int
    amount_fen: int
    voucher: bool


_TOLD: Final = {
    SignalCode.AFFILIATED_PARTIES: (
        "Buyer and supplier of {of} are under one control: {found}.",
        "{of} 的需求方与供应方存在关联关系：{found}。",
    ),
    SignalCode.PRICE_ABOVE_RECENT: (
        "{of}: {found} CNY per card-hour, where the supplier's recent contracts for this chip have {against}.",
        "{of}：单价 {found} 元/卡时，高于该供应方近期同型号合同价 {against}。",
    ),
    SignalCode.PRICE_ABOVE_NON_VOUCHER: (
        "{of}: {found} CNY per card-hour, where its contracts without a voucher for this chip have {against}.",
        "{of}：单价 {found} 元/卡时，高于该供应方同型号无券合同价 {against}。",
    ),
    SignalCode.SPLIT_CONTRACTS: (
        "{of} is one of several contracts between these parties just under {against} CNY: {found}.",
        "{of} 疑似拆分合同：双方多份合同金额略低于 {against} 元：{found}。",
    ),
    SignalCode.CLAIMED_ABOVE_METERED: (
        "{of}: {found} CNY are claimed, where what was metered so far gives {against}.",
        "{of}：累计申领 {found} 元，高于按计量交付折算的 {against} 元。",
    ),
    SignalCode.PROOF_REUSED: (
        "{of} is the same file (SHA-256 {found}) as in {against}.",
        "{of} 与 {against} 中的文件相同（SHA-256 {found}）。",
    ),
}


def tell_signal(signal: Signal, language: str) -> str:
    """Return a signal as a sentence in `en` or `zh-CN`."""
    return _TOLD[signal.code][language == CHINESE].format(of=signal.of, found=signal.found, against=signal.against)


def affiliated_parties(of: str, *, affiliated: bool, buyer: str, supplier: str) -> list[Signal]:
    """Signal that a contract's sides are under one control."""
    return [Signal(SignalCode.AFFILIATED_PARTIES, of, f"{buyer}, {supplier}", "")] if affiliated else []


def raised_prices(of: str, price_fen: int, signed_at: datetime, sales: Sequence[Sale]) -> list[Signal]:
    """Signal a price of more than `RAISED_PERCENT` above the median of the supplier's other contracts for the chip.

    Args:
        of: the contract's id.
        price_fen: its price per card-hour.
        signed_at: when it was signed.
        sales: the supplier's other contracts for the same chip model; those of the `RECENT` days before count.
    """
    recent = [sale for sale in sales if signed_at - RECENT <= sale.signed_at <= signed_at]
    compared = (
        (SignalCode.PRICE_ABOVE_RECENT, [sale.price_fen for sale in recent]),
        (SignalCode.PRICE_ABOVE_NON_VOUCHER, [sale.price_fen for sale in recent if not sale.voucher]),
    )
    return [
        Signal(code, of, format_cny(price_fen), format_cny(usual))
        for code, prices in compared
        if prices
        for usual in [median_low(prices)]
        if price_fen * 100 > usual * (100 + RAISED_PERCENT)
    ]


def split_contracts(
    of: str, amount_fen: int, signed_at: datetime, others: Sequence[Sale], thresholds_fen: Sequence[int]
) -> list[Signal]:
    """Signal a contract just under a threshold where the same parties signed another such one within `SPLIT_WITHIN`.

    Just under is from `JUST_UNDER_PERCENT` of the threshold to the threshold itself.
    """

    def just_under(fen: int, threshold: int) -> bool:
        return fen <= threshold and fen * 100 >= threshold * JUST_UNDER_PERCENT

    near = [other.amount_fen for other in others if abs(other.signed_at - signed_at) <= SPLIT_WITHIN]
    found: list[Signal] = []
    for threshold in sorted(set(thresholds_fen)):
        alike = [fen for fen in near if just_under(fen, threshold)]
        if alike and just_under(amount_fen, threshold):
            amounts = ", ".join(format_cny(fen) for fen in (amount_fen, *alike))
            found.append(Signal(SignalCode.SPLIT_CONTRACTS, of, amounts, format_cny(threshold)))
    return found


def claimed_above_metered(claimed_fen: Mapping[str, int], metered_fen: Mapping[str, int]) -> list[Signal]:
    """Signal vouchers of which more is claimed in all than what was metered gives, both by voucher."""
    return [
        Signal(SignalCode.CLAIMED_ABOVE_METERED, of, format_cny(fen), format_cny(metered_fen.get(of, 0)))
        for of, fen in sorted(claimed_fen.items())
        if fen > metered_fen.get(of, 0)
    ]


def reused_proofs(proofs: Sequence[tuple[str, str]], elsewhere: Mapping[str, Sequence[str]]) -> list[Signal]:
    """Signal proofs whose content is that of another one.

    Args:
        proofs: `(document, sha256)` of the claim's own.
        elsewhere: by SHA-256 the claims, not rejected, that a document of that content proves already.
    """
    found: list[Signal] = []
    first: dict[str, str] = {}
    for of, sha256 in proofs:
        others = [*elsewhere.get(sha256, ())]
        if sha256 in first and first[sha256] != of:
            others.append(first[sha256])
        first.setdefault(sha256, of)
        if others:
            found.append(Signal(SignalCode.PROOF_REUSED, of, sha256[:16], ", ".join(others)))
    return found
