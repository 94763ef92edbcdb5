"""What settling a contract changes: pure, from its totals to the next line and the voucher money that moves with it.

A `Book` is a contract's account: what it owes, what was billed, what was redeemed. Settling it brings all three in
line and changes nothing where they are. What a claim holds is never given back: the excess is taken off at the next
line, since every line is made from totals.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from app.contracts.models import Payment
from app.kit.ids import new_id
from app.settlements.arithmetic import (
    Metered,
    billed_total_fen,
    delivered_card_seconds,
    line_fen,
    paid_ahead_card_seconds,
)
from app.settlements.models import RedemptionKind, SettlementKind
from app.vouchers.instalments import Redeemable, redeemed_totals_fen
from app.vouchers.redemption import IssuedVoucher


@dataclass(slots=True)
class Redeemed:
    """A redemption on record: what is left of it after give-backs, and whether a live claim holds it."""

    id: UUID
    voucher_id: UUID
    settlement_id: UUID
    left_fen: int
    claimed: bool


@dataclass(frozen=True, slots=True)
class Step:
    """A redemption to record, or the give-back of one (`of_id`)."""

    id: UUID
    voucher_id: UUID
    kind: RedemptionKind
    amount_fen: int
    of_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A settlement to record; amounts in fen, `payable_fen` below 0 where the supplier owes it."""

    kind: SettlementKind
    report_id: UUID | None
    period_start: datetime
    period_end: datetime
    card_seconds_total: int
    amount_fen: int
    payable_fen: int
    steps: tuple[Step, ...]
    id: UUID = field(default_factory=new_id)


@dataclass(slots=True)
class Book:
    """A contract's account.

    `due` is whether a prepaid contract is to be paid already, `ended` whether its reservation ended before it ran.
    `billed_fen` and `deducted_fen` are the sums of the lines in force: billed, and taken off for the supplier's claims.
    `contract_fen` is the contract's amount as it was signed: what is billed beyond it, by an extension, is redeemed of
    no voucher. `ceiling_ppm` is most that vouchers take of the base together.
    """

    payment: Payment
    price_fen: int
    cards: int
    starts_at: datetime
    ends_at: datetime
    due: bool
    ended: bool
    contract_fen: int
    reports: dict[UUID, Metered]
    billed_fen: int
    deducted_fen: int
    vouchers: tuple[IssuedVoucher, ...]
    ceiling_ppm: int
    redeemed: list[Redeemed]

    def report(self, report_id: UUID, metered: Metered, corrects_id: UUID | None) -> None:
        """Take a report in force, in the place of the one it corrects."""
        if corrects_id is not None:
            del self.reports[corrects_id]
        self.reports[report_id] = metered

    def settle(self, period_start: datetime, period_end: datetime, report_id: UUID | None = None) -> Line | None:
        """Bring what was billed and redeemed in line with what is owed; return the line that does it, if any."""
        owed = self._owed_card_seconds()
        amount = line_fen(self.price_fen, owed, self.billed_fen)
        self.billed_fen += amount
        due = self._due_totals()
        steps = tuple(step for voucher in self.vouchers for step in self._steps(voucher, due[voucher.id]))
        deducted = sum(due[voucher.id] for voucher in self.vouchers if voucher.by_supplier)
        payable = amount - (deducted - self.deducted_fen)
        self.deducted_fen = deducted
        if not amount and not steps and not payable:
            return None
        line = Line(self._kind(amount), report_id, period_start, period_end, owed, amount, payable, steps)
        self._record(line)
        return line

    def void(self, settlement_id: UUID, amount_fen: int, payable_fen: int) -> tuple[Step, ...]:
        """Take a line that was never paid out of the account, with what was redeemed for it; return the give-backs."""
        self.billed_fen -= amount_fen
        self.deducted_fen -= amount_fen - payable_fen
        return tuple(
            self._give_back(each, each.left_fen)
            for each in self.redeemed
            if each.settlement_id == settlement_id and each.left_fen and not each.claimed
        )

    def _owed_card_seconds(self) -> int:
        if self.ended:
            return 0
        if self.payment is Payment.PREPAID and self.due:
            reserved = int((self.ends_at - self.starts_at).total_seconds())
            return paid_ahead_card_seconds(self.cards, reserved, self.reports.values())
        return delivered_card_seconds(self.reports.values())

    def _due_totals(self) -> dict[UUID, int]:
        """Return what is to be redeemed of each voucher in all; of one whose time is over no more than was."""
        usage_fen = billed_total_fen(self.price_fen, delivered_card_seconds(self.reports.values()))
        redeemable = [
            Redeemable(
                voucher.rate_ppm,
                self._most_fen(voucher),
                self._counted(voucher, 0 if self.ended else usage_fen if voucher.usage else self.billed_fen),
            )
            for voucher in self.vouchers
        ]
        totals = redeemed_totals_fen(redeemable, self.ceiling_ppm)
        return {voucher.id: total for voucher, total in zip(self.vouchers, totals, strict=True)}

    def _most_fen(self, voucher: IssuedVoucher) -> int:
        if voucher.revoked:
            return 0
        return voucher.issued_fen if voucher.open else self._redeemed_fen(voucher.id)

    def _counted(self, voucher: IssuedVoucher, amount_fen: int) -> int:
        """Return what a voucher's programme counts of an amount: the same part as of the contract."""
        if not self.contract_fen:
            return 0
        return min(amount_fen, self.contract_fen) * voucher.counted_fen // self.contract_fen

    def _redeemed_fen(self, voucher_id: UUID) -> int:
        return sum(each.left_fen for each in self.redeemed if each.voucher_id == voucher_id)

    def _steps(self, voucher: IssuedVoucher, due_fen: int) -> Iterator[Step]:
        more = due_fen - self._redeemed_fen(voucher.id)
        if more > 0:
            yield Step(new_id(), voucher.id, RedemptionKind.REDEEMED, more)
        # The newest first: the older a redemption is, the more likely it is about to be claimed.
        for each in reversed(self.redeemed):
            if more >= 0:
                return
            if each.voucher_id == voucher.id and not each.claimed and each.left_fen:
                back = min(-more, each.left_fen)
                more += back
                yield self._give_back(each, back)

    def _give_back(self, redeemed: Redeemed, amount_fen: int) -> Step:
        redeemed.left_fen -= amount_fen
        return Step(new_id(), redeemed.voucher_id, RedemptionKind.GIVEN_BACK, amount_fen, redeemed.id)

    def _record(self, line: Line) -> None:
        self.redeemed += [
            Redeemed(step.id, step.voucher_id, line.id, step.amount_fen, claimed=False)
            for step in line.steps
            if step.kind is RedemptionKind.REDEEMED
        ]

    def _kind(self, amount_fen: int) -> SettlementKind:
        if amount_fen == 0:
            return SettlementKind.REDEMPTION
        return SettlementKind.REFUND if amount_fen < 0 else SettlementKind(self.payment.value)
