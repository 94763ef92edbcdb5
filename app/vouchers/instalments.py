"""How much of a contract's vouchers is redeemed by what was settled so far: a pure function, exact to the fen.

Of one voucher it is min(⌊rate × cumulative base⌋, voucher), which is `rules.subsidy_fen` on the cumulative base with
the voucher as what is left. Vouchers that stack keep within one ceiling together (the base itself, or the programmes'
ceiling), the earlier first. Totals only grow with the base, and how it was cut into periods changes no fen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from app.kit.money import PPM


@dataclass(frozen=True, slots=True)
class Redeemable:
    """A voucher's rate in parts per million, its amount in fen, and the base settled so far that its rule counts."""

    rate_ppm: int
    voucher_fen: int
    base_fen: int


def redeemed_totals_fen(vouchers: Sequence[Redeemable], ceiling_ppm: int = PPM) -> list[int]:
    """Return what is redeemed of each voucher in all, in fen, in the order given.

    Exact shares are taken in millionths of a fen and each total is rounded down at the end: the sum of the totals is
    at most ⌊ceiling × base⌋, and each of them is monotone in the base.

    Args:
        vouchers: a contract's, in a fixed order; the first has its whole share.
        ceiling_ppm: most that they may take of the base together, at most 1 000 000.
    """
    totals: list[int] = []
    taken = 0
    for voucher in vouchers:
        share = min(voucher.rate_ppm * voucher.base_fen, voucher.voucher_fen * PPM)
        share = max(0, min(share, ceiling_ppm * voucher.base_fen - taken))
        taken += share
        totals.append(share // PPM)
    return totals
