"""The life of vouchers in plain Python: dicts and integers, written from the rules and not from the service's code.

What the ledger must say is never kept here: `Model.accounts` adds it up anew from the vouchers, redemptions and claims.
Moments are aware UTC; amounts are fen; each action returns the code of its refusal, or None where it is done.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from app.kit.ids import encode_id

MILLION = 1_000_000
HOUR = timedelta(hours=1)
SHANGHAI = timedelta(hours=8)
LIVE = ("held", "confirmed", "active", "completed")
IN_USE = ("confirmed", "active")


@dataclass(frozen=True)
class Tier:
    """A tier: its rate in parts per million, its minimum voucher, whether the desk decides, if for project leads."""

    id: str
    rate: int
    least: int = 0
    checked: bool = False
    for_leads: bool = False


@dataclass(frozen=True)
class Programme:
    """A programme: who claims, what it is of, its caps `(pool, buyer)` by year and totals by tier (None: no cap)."""

    id: str
    claimed_by: str
    years: dict[int, tuple[int | None, int | None]]
    usage: bool = False
    reserve: bool = False
    totals: dict[str, int] = field(default_factory=dict[str, int])
    valid_days: int | None = None
    claim_days: int | None = None
    proofs: tuple[str, ...] = ()


@dataclass(eq=False)
class Redemption:
    """What a settlement redeemed: what is left of it, and the claim that holds it."""

    voucher: "Voucher"
    line: "Line"
    left: int
    made_at: datetime
    claim: "Claim | None" = None

    @property
    def place(self) -> int:
        """Its place among the voucher's, from 0."""
        return self.voucher.redemptions.index(self)


@dataclass(eq=False)
class Voucher:
    """A voucher with its application."""

    id: UUID
    programme: Programme
    tier: Tier
    year: int
    reservation: "Reservation"
    earmarked: int
    state: str = "earmarked"
    issued: int = 0
    expires_at: datetime | None = None
    redemptions: list[Redemption] = field(default_factory=list[Redemption])

    @property
    def redeemed(self) -> int:
        """What is redeemed of it, give-backs taken off."""
        return sum(each.left for each in self.redemptions)

    def over(self, now: datetime) -> bool:
        """Whether its time is over, swept or not."""
        return self.expires_at is not None and self.expires_at <= now

    @property
    def claimant(self) -> UUID:
        """Who claims what it redeems."""
        side = self.reservation
        return side.supplier if self.programme.claimed_by == "supplier" else side.buyer

    @property
    def taken(self) -> int:
        """What its budgets are short of: all of it while it lives, then what was redeemed; revoked, nothing."""
        if self.state in ("issued", "exhausted"):
            return self.issued
        return self.redeemed if self.state == "expired" else 0


@dataclass(eq=False)
class Application:
    """An application for a voucher; the choice after a rejection is open while it has an end and no outcome."""

    id: UUID
    voucher: Voucher
    state: str = "submitted"
    choice: str | None = None
    choice_ends_at: datetime | None = None

    def lapsed(self, now: datetime) -> bool:
        """Whether nobody chose in time."""
        ends_at = self.choice_ends_at
        return self.state == "rejected" and self.choice is None and ends_at is not None and ends_at <= now


@dataclass(eq=False)
class Line:
    """A settlement."""

    amount: int
    payable: int
    state: str


@dataclass(eq=False)
class Report:
    """A delivery report in force, over `[start, end)`."""

    id: UUID
    start: datetime
    end: datetime
    card_seconds: int


@dataclass(eq=False)
class Reservation:
    """A reservation, with its contract once it is confirmed (`signed` is what the contract is over)."""

    id: UUID
    buyer: UUID
    supplier: UUID
    price: int
    cards: int
    starts_at: datetime
    ends_at: datetime
    hold_ends_at: datetime
    state: str = "held"
    signed: int | None = None
    contract: UUID | None = None
    prepaid: bool = False
    vouchers: list[Voucher] = field(default_factory=list[Voucher])
    applications: list[Application] = field(default_factory=list[Application])
    reports: list[Report] = field(default_factory=list[Report])
    lines: list[Line] = field(default_factory=list[Line])

    @property
    def cost(self) -> int:
        """What all that is reserved costs."""
        return self.price * self.cards * round((self.ends_at - self.starts_at) / HOUR)

    @property
    def in_force(self) -> list[Line]:
        """Its settlements, void ones left out."""
        return [line for line in self.lines if line.state != "void"]


@dataclass(eq=False)
class ClaimLine:
    """A redemption in a claim."""

    redemption: Redemption
    amount: int
    state: str = "submitted"


@dataclass(eq=False)
class Claim:
    """A claim with its lines, and how it was paid."""

    id: UUID
    programme: Programme
    claimant: UUID
    period: tuple[int, int]
    lines: list[ClaimLine]
    state: str = "submitted"
    recovered: int = 0
    netted: int = 0

    @property
    def approved(self) -> int:
        """What of it is not rejected."""
        return sum(line.amount for line in self.lines if line.state != "rejected")


def year_of(moment: datetime) -> int:
    """The calendar year in Shanghai."""
    return (moment + SHANGHAI).year


def quarter_of(moment: datetime) -> tuple[int, int]:
    """The calendar year and quarter in Shanghai."""
    local = moment + SHANGHAI
    return local.year, (local.month + 2) // 3


def quarter_ends(quarter: tuple[int, int]) -> datetime:
    """When a quarter is over in Shanghai."""
    year, number = quarter
    return datetime(year + number // 4, number % 4 * 3 + 1, 1, tzinfo=UTC) - SHANGHAI


def next_hour(moment: datetime) -> datetime:
    """The whole hour at or after a moment."""
    whole = moment.replace(minute=0, second=0, microsecond=0)
    return whole if whole == moment else whole + HOUR


def billed(price: int, card_seconds: int) -> int:
    """What card-seconds cost, half a fen rounded up."""
    return (2 * price * card_seconds + 3600) // 7200


@dataclass
class Model:
    """Everything that happened, and what follows from it."""

    programmes: dict[str, Programme]
    eligible: frozenset[UUID]
    leads: frozenset[UUID]
    now: datetime
    reservations: dict[UUID, Reservation] = field(default_factory=dict[UUID, Reservation])
    claims: dict[UUID, Claim] = field(default_factory=dict[UUID, Claim])
    advanced: dict[tuple[str, UUID], int] = field(default_factory=lambda: defaultdict[tuple[str, UUID], int](int))
    # The buyers' caps that were filled: the programme, the buyer, and the year or tier.
    filled: set[tuple[str, UUID, int | str]] = field(default_factory=set[tuple[str, UUID, int | str]])

    @property
    def vouchers(self) -> list[Voucher]:
        return [voucher for each in self.reservations.values() for voucher in each.vouchers]

    @property
    def applications(self) -> list[Application]:
        return [application for each in self.reservations.values() for application in each.applications]

    # What is left of budgets

    def used(self, programme: Programme, year: int | None, buyer: UUID | None = None, tier: str | None = None) -> int:
        """What open earmarks and vouchers take of a budget."""
        return sum(
            each.earmarked if each.state == "earmarked" else each.taken
            for each in self.vouchers
            if each.programme is programme
            and year in (None, each.year)
            and buyer in (None, each.reservation.buyer)
            and tier in (None, each.tier.id)
        )

    def left(self, programme: Programme, tier: Tier, year: int, buyer: UUID) -> int | None:
        """What is left of the tightest of the budgets that a voucher draws on; None: no cap."""
        pool, cap = programme.years[year]
        total = programme.totals.get(tier.id)
        bounds = (
            (pool, self.used(programme, year)),
            (cap, self.used(programme, year, buyer)),
            (total, self.used(programme, None, buyer, tier.id)),
        )
        return min((most - used for most, used in bounds if most is not None), default=None)

    def rule(self, voucher: Voucher, year: int, own: int) -> int:
        """What the rule gives a contract: the rate of it, as far as budgets go; 0 below the minimum."""
        reservation = voucher.reservation
        assert reservation.signed is not None
        if reservation.buyer not in (self.leads if voucher.tier.for_leads else self.eligible):
            return 0
        amount = voucher.tier.rate * min(reservation.signed, reservation.cost) // MILLION
        left = self.left(voucher.programme, voucher.tier, year, reservation.buyer)
        amount = amount if left is None else max(0, min(amount, left + own))
        return amount if amount >= voucher.tier.least else 0

    # Hold and confirmation

    def may_hold(self, buyer: UUID, wanted: Iterable[tuple[Programme, Tier, int]]) -> str | None:
        """Whether all programmes are open, then whether their budgets cover a hold's earmarks, one of each."""
        wanted, year = list(wanted), year_of(self.now)
        if any(year not in programme.years for programme, _, _ in wanted):
            return "programme_not_open"
        for programme, tier, amount in wanted:
            left = self.left(programme, tier, year, buyer)
            if left is not None and amount > left:
                return "funds_exhausted"
        return None

    def hold(self, reservation: Reservation) -> None:
        """Put a hold and its earmarks on record."""
        self.reservations[reservation.id] = reservation
        for voucher in reservation.vouchers:
            self.fill(voucher.programme, reservation.buyer, voucher.year, [voucher.tier.id])

    def fill(self, programme: Programme, buyer: UUID, year: int, tiers: Iterable[str]) -> None:
        """Open a buyer's caps on their first use."""
        self.filled.add((programme.id, buyer, year))
        self.filled |= {(programme.id, buyer, tier) for tier in tiers if tier in programme.totals}

    def confirm(self, reservation: Reservation, ids: Callable[[Programme], tuple[UUID, UUID]]) -> None:
        """Sign the contract and apply for its vouchers; `ids` tells an application's and its voucher's id."""
        reservation.state, reservation.signed = "confirmed", reservation.cost
        for voucher in sorted(reservation.vouchers, key=lambda each: each.id):
            application_id, voucher_id = ids(voucher.programme)
            self.apply(voucher, application_id, voucher_id)
        self.settle(reservation)

    def apply(self, voucher: Voucher, application_id: UUID, voucher_id: UUID) -> None:
        year, reservation, own = year_of(self.now), voucher.reservation, voucher.earmarked
        if year != voucher.year:
            own = 0
            if year in voucher.programme.years:
                self.fill(voucher.programme, reservation.buyer, year, voucher.programme.totals)
        amount = self.rule(voucher, year, own) if year in voucher.programme.years else 0
        amount = min(amount, voucher.earmarked)
        if amount and year != voucher.year:
            voucher.state = "voided"
            voucher = Voucher(voucher_id, voucher.programme, voucher.tier, year, reservation, amount)
            reservation.vouchers.append(voucher)
        assert voucher.id == voucher_id
        application = Application(application_id, voucher)
        reservation.applications.append(application)
        if not amount:
            self.turn_down(application)
        elif not voucher.tier.checked:
            self.issue(application, amount)

    def issue(self, application: Application, amount: int) -> None:
        voucher = application.voucher
        application.state, voucher.state, voucher.issued = "approved", "issued", amount
        if voucher.programme.valid_days is not None:
            day = (self.now + SHANGHAI).replace(hour=0, minute=0, second=0, microsecond=0) - SHANGHAI
            voucher.expires_at = day + timedelta(days=voucher.programme.valid_days + 1)

    def turn_down(self, application: Application) -> None:
        reservation = application.voucher.reservation
        application.state, application.voucher.state = "rejected", "rejected"
        application.choice_ends_at = self.now + timedelta(hours=48)
        if reservation.state == "confirmed":
            application.choice_ends_at = min(application.choice_ends_at, reservation.starts_at)
        if reservation.state == "completed":
            application.choice_ends_at, application.choice = self.now, "lapsed"

    # The desk's and the buyer's turns on applications and vouchers

    def approve(self, application: Application, amount: int | None = None) -> str | None:
        """The desk approves, over less if it likes; the rule is asked again."""
        if application.state != "submitted":
            return "application_state"
        voucher = application.voucher
        rule = self.rule(voucher, voucher.year, voucher.earmarked)
        if not rule:
            return "clause_unmet"
        most = min(rule, voucher.earmarked)
        if amount is not None and amount > most:
            return "amount_above_rule"
        self.issue(application, most if amount is None else amount)
        return None

    def reject(self, application: Application) -> str | None:
        if application.state != "submitted":
            return "application_state"
        self.turn_down(application)
        return None

    def withdraw(self, application: Application) -> str | None:
        if application.state != "submitted":
            return "application_state"
        application.state, application.voucher.state = "withdrawn", "voided"
        return None

    def accept_full_price(self, application: Application) -> str | None:
        if application.state != "rejected":
            return "application_state"
        if application.choice == "full_price":
            return None
        if application.choice is not None or application.lapsed(self.now):
            return "choice_over"
        if application.voucher.reservation.state not in IN_USE:
            return "reservation_state"
        application.choice = "full_price"
        return None

    def revoke(self, voucher: Voucher) -> str | None:
        """What no claim holds is given back, what is left goes back, the rest is owed by the claimant."""
        if voucher.state not in ("issued", "exhausted", "expired"):
            return "voucher_state"
        voucher.state = "revoked"
        return None

    # Reservations

    def cancel(self, reservation: Reservation) -> str | None:
        if reservation.state not in ("held", "confirmed"):
            return "reservation_state"
        self.end_unused(reservation, "cancelled")
        return None

    def end_unused(self, reservation: Reservation, state: str) -> None:
        reservation.state = state
        for application in reservation.applications:
            if application.state == "submitted":
                application.state = "withdrawn"
        for voucher in reservation.vouchers:
            voucher.state = {"earmarked": "voided", "issued": "revoked", "exhausted": "revoked"}.get(
                voucher.state, voucher.state
            )

    def end(self, reservation: Reservation) -> str | None:
        if reservation.state != "active":
            return "reservation_state"
        first = max(next_hour(self.now), reservation.starts_at + HOUR)
        reservation.ends_at = min(first, reservation.ends_at)
        if reservation.ends_at <= self.now:
            reservation.state = "completed"
        return None

    def extend(self, reservation: Reservation, hours: int) -> str | None:
        if reservation.state not in IN_USE:
            return "reservation_state"
        reservation.ends_at += hours * HOUR
        return None

    def pay_ahead(self, reservation: Reservation) -> str | None:
        if reservation.state != "confirmed":
            return "payment_fixed"
        reservation.prepaid = True
        return None

    def report(self, reservation: Reservation, report: Report, corrects: Report | None = None) -> str | None:
        if reservation.state in ("cancelled", "expired"):
            return "delivery_reservation_ended"
        if reservation.state not in ("active", "completed"):
            return "delivery_not_started"
        if report.card_seconds > reservation.cards * (report.end - report.start) // timedelta(seconds=1):
            return "deliveries_refused"
        if corrects is not None:
            reservation.reports.remove(corrects)
        reservation.reports.append(report)
        return None

    def pay(self, line: Line) -> str | None:
        if line.state != "open":
            return "payment_state"
        line.state = "paid"
        return None

    # The sweep

    def sweep(self) -> None:
        """Whatever the passing of time does, until nothing more happens."""
        while self._swept():
            pass

    def _swept(self) -> bool:
        before = self.states()
        for reservation in self.reservations.values():
            lapsed = [each for each in reservation.applications if each.lapsed(self.now)]
            if lapsed and reservation.state in IN_USE:
                for application in lapsed:
                    application.choice = "lapsed"
                if reservation.state == "confirmed":
                    self.end_unused(reservation, "cancelled")
                else:
                    self.end(reservation)
            elif reservation.state == "held" and reservation.hold_ends_at <= self.now:
                self.end_unused(reservation, "expired")
            elif reservation.state == "confirmed" and reservation.starts_at <= self.now:
                reservation.state = "active"
            elif reservation.state == "active" and reservation.ends_at <= self.now:
                reservation.state = "completed"
        for voucher in self.vouchers:
            if voucher.state == "issued" and voucher.over(self.now):
                voucher.state = "expired"
        for reservation in self.reservations.values():
            self.settle(reservation)
        return self.states() != before

    def states(self) -> list[str]:
        """Every state there is, in a fixed order."""
        found = [each.state for each in self.reservations.values()]
        found += [f"{each.state} {each.choice}" for each in self.applications]
        return found + [each.state for each in self.vouchers]

    # Settlement: the bill and what is redeemed, from totals

    def settle(self, reservation: Reservation) -> None:
        """Bring a contract's bill and redemptions in line with what is owed."""
        if reservation.signed is None:
            return
        if reservation.state in ("cancelled", "expired"):
            self._void(reservation)
        live = reservation.in_force
        amount = self._owed(reservation) - sum(line.amount for line in live)
        due = self._due(reservation, sum(line.amount for line in live) + amount)
        deducted = sum(fen for voucher, fen in due.items() if voucher.programme.claimed_by == "supplier")
        payable = amount - deducted + sum(line.amount - line.payable for line in live)
        line = Line(amount, payable, "open" if payable else "paid")
        moved = [self._bring_to(voucher, fen, line) for voucher, fen in due.items()]
        if amount or payable or any(moved):
            reservation.lines.append(line)

    def _void(self, reservation: Reservation) -> None:
        """Void what nobody paid of a contract that never ran, with what it redeemed."""
        for line in reservation.lines:
            if line.state == "open":
                line.state = "void"
                for voucher in reservation.vouchers:
                    for each in voucher.redemptions:
                        each.left = 0 if each.line is line and each.claim is None else each.left

    def _owed(self, reservation: Reservation) -> int:
        if reservation.state in ("cancelled", "expired"):
            return 0
        metered = sum(report.card_seconds for report in reservation.reports)
        undecided = any(voucher.state == "earmarked" for voucher in reservation.vouchers)
        due = reservation.state != "confirmed" or bool(reservation.in_force) or not undecided
        if reservation.prepaid and due:
            reported = sum((report.end - report.start for report in reservation.reports), timedelta())
            reserved = reservation.ends_at - reservation.starts_at
            metered += reservation.cards * round((reserved - reported).total_seconds())
        return billed(reservation.price, metered)

    def _due(self, reservation: Reservation, bill: int) -> dict[Voucher, int]:
        """What is to be redeemed of each voucher in all; together at most the base."""
        assert reservation.signed is not None
        metered = billed(reservation.price, sum(report.card_seconds for report in reservation.reports))
        issued = sorted((v for v in reservation.vouchers if v.issued), key=lambda v: (v.programme.id, v.id))
        due: dict[Voucher, int] = {}
        taken = 0  # in millionths of a fen
        for voucher in issued:
            base = min(metered if voucher.programme.usage else bill, reservation.signed)
            most = voucher.issued
            if voucher.state == "revoked":
                most = 0
            elif voucher.state == "expired" or voucher.over(self.now):
                most = voucher.redeemed
            share = max(0, min(voucher.tier.rate * base, most * MILLION, base * MILLION - taken))
            taken += share
            due[voucher] = share // MILLION
        return due

    def _bring_to(self, voucher: Voucher, due: int, line: Line) -> bool:
        """Redeem up to what is due, or give back what no claim holds, the newest first."""
        more = due - voucher.redeemed
        if more > 0:
            voucher.redemptions.append(Redemption(voucher, line, more, self.now))
        moved = more > 0
        for each in reversed(voucher.redemptions):
            if more < 0 and each.claim is None and each.left:
                back = min(-more, each.left)
                each.left, more, moved = each.left - back, more + back, True
        if voucher.state in ("issued", "exhausted"):
            voucher.state = "issued" if voucher.redeemed < voucher.issued else "exhausted"
        return moved

    # Claims

    def claimable(self, programme: Programme, claimant: UUID, period: tuple[int, int]) -> list[Redemption]:
        """What a claimant can claim of a quarter."""
        return [
            each
            for voucher in self.vouchers
            for each in voucher.redemptions
            if voucher.programme is programme
            and voucher.claimant == claimant
            and voucher.state != "revoked"
            and each.left
            and each.claim is None
            and quarter_of(each.made_at) == period
        ]

    def may_claim(self, programme: Programme, claimant: UUID, role: str, period: tuple[int, int]) -> str | None:
        if programme.claimed_by != role:
            return "not_the_claimant"
        if self.now < quarter_ends(period):
            return "claim_period_not_over"
        if programme.claim_days is not None and self.now >= quarter_ends(period) + timedelta(programme.claim_days):
            return "claim_late"
        return None if self.claimable(programme, claimant, period) else "nothing_to_claim"

    def claim(self, claim: Claim) -> None:
        self.claims[claim.id] = claim
        for line in claim.lines:
            line.redemption.claim = claim

    def decide(self, claim: Claim, rejected: list[ClaimLine]) -> str | None:
        """The desk approves a claim but for some lines; all of them is a rejection of the claim."""
        if claim.state != "submitted":
            return "claim_state"
        for line in claim.lines:
            line.state = "rejected" if line in rejected else "approved"
            if line in rejected:
                line.redemption.claim = None
        claim.state = "approved" if claim.approved else "rejected"
        return None

    def cash(self, claim: Claim) -> tuple[int, int, int]:
        """What a payment now would recover, net and pay in cash.

        Recovered is what was redeemed of revoked vouchers and paid (or is now), as far as no payment made up for it.
        """
        mine = (claim.programme, claim.claimant)
        paid = [
            each for each in self.claims.values() if each.state == "paid" and (each.programme, each.claimant) == mine
        ]
        settled = {*(each.id for each in paid), claim.id}
        owed = sum(
            each.left
            for voucher in self.vouchers
            if voucher.state == "revoked" and (voucher.programme, voucher.claimant) == mine
            for each in voucher.redemptions
            if each.claim is not None and each.claim.id in settled
        )
        recovered = min(claim.approved, max(0, owed - sum(each.recovered for each in paid)))
        advance = self.advanced[claim.programme.id, claim.claimant] - sum(each.netted for each in paid)
        netted = min(claim.approved - recovered, advance)
        return recovered, netted, claim.approved - recovered - netted

    def pay_claim(self, claim: Claim) -> str | None:
        if claim.state != "approved":
            return "claim_state"
        claim.recovered, claim.netted, _ = self.cash(claim)
        claim.state = "paid"
        return None

    # What the ledger must say

    def accounts(self) -> dict[str, tuple[int, int, int]]:
        """Each account's credits less debits (posted), its pending debits and its pending credits; zeros left out."""
        found: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])

        def move(debit: str, credit: str, posted: int, pending: int = 0) -> None:
            found[debit][0] -= posted
            found[debit][1] += pending
            found[credit][0] += posted
            found[credit][2] += pending

        for programme in self.programmes.values():
            for year, (pool, _) in programme.years.items():
                move(f"{programme.id}/treasury", f"{programme.id}/pool/{year}", pool or 0)
        for name, buyer, what in self.filled:
            programme = self.programmes[name]
            cap = programme.years[what][1] if isinstance(what, int) else programme.totals[what]
            cap_account, source = _cap_names(programme, buyer, what)
            move(source, cap_account, cap or 0)
        for voucher in self.vouchers:
            self._add_voucher(voucher, move)
        for (name, supplier), fen in self.advanced.items():
            move(f"{name}/treasury", f"{name}/advance/{encode_id('org', supplier)}", fen)
        for claim in self.claims.values():
            name, org = claim.programme.id, encode_id("org", claim.claimant)
            paid = claim.approved if claim.state == "paid" else 0
            held = claim.approved if claim.state in ("submitted", "approved") else 0
            move(f"{name}/claimable/{org}", f"{name}/paid/{claim.period[0]}", paid, held)
            move(f"{name}/paid/{claim.period[0]}", f"{name}/clawback/{org}", claim.recovered)
            move(f"{name}/advance/{org}", f"{name}/treasury", claim.netted)
        return {name: (each[0], each[1], each[2]) for name, each in found.items() if any(each)}

    def record(self) -> dict[str, dict[Any, Any]]:
        """Everything besides the ledger that the service must have on record, by kind and id."""
        found = self.reservations.values()
        return {
            "reservations": {each.id: (each.state, each.ends_at) for each in found},
            "settlements": {
                each.id: sorted((line.amount, line.payable, line.state) for line in each.in_force)
                for each in found
                if each.in_force
            },
            "applications": {each.id: (each.state, each.choice, each.choice_ends_at) for each in self.applications},
            "vouchers": {
                each.id: (each.state, each.earmarked, each.issued or None, each.expires_at) for each in self.vouchers
            },
            "redemptions": {
                each.id: [(one.left, one.claim.id if one.claim else None) for one in each.redemptions]
                for each in self.vouchers
                if each.redemptions
            },
            "claims": {each.id: _shown(each) for each in self.claims.values()},
            "lines": {
                each.id: sorted((line.amount, line.state) for line in each.lines) for each in self.claims.values()
            },
        }

    def _add_voucher(self, voucher: Voucher, move: Callable[..., None]) -> None:
        name, reservation = voucher.programme.id, voucher.reservation
        pool, own = f"{name}/pool/{voucher.year}", f"voucher/{encode_id('vch', voucher.id)}"
        claimant = encode_id("org", voucher.claimant)
        pending = voucher.earmarked if voucher.state == "earmarked" else 0
        through = voucher.redeemed if voucher.state == "revoked" else voucher.taken
        move(pool, own, through, pending)
        move(own, f"{name}/claimable/{claimant}", voucher.redeemed)
        if voucher.state == "revoked":
            move(f"{name}/clawback/{claimant}", pool, voucher.redeemed)
        caps: list[int | str] = [voucher.year]
        if voucher.tier.id in voucher.programme.totals:
            caps.append(voucher.tier.id)
        for what in caps:
            move(*_cap_names(voucher.programme, reservation.buyer, what), voucher.taken, pending)


def _shown(claim: Claim) -> tuple[Any, ...]:
    """A claim's state and how it was paid: approved, recovered, netted, cash."""
    if claim.state == "submitted":
        return (claim.state, None, None, None, None)
    if claim.state != "paid":
        return (claim.state, claim.approved, None, None, None)
    cash = claim.approved - claim.recovered - claim.netted
    return (claim.state, claim.approved, claim.recovered, claim.netted, cash)


def _cap_names(programme: Programme, buyer: UUID, what: int | str) -> tuple[str, str]:
    """The accounts of a buyer's cap of a year, or of its total under a tier, and of where it comes from."""
    org = encode_id("org", buyer)
    if isinstance(what, int):
        return f"{programme.id}/buyer/{org}/{what}", f"{programme.id}/quota/{what}"
    return f"{programme.id}/{what}/buyer/{org}", f"{programme.id}/{what}/quota"
