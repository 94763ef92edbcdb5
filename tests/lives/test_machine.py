"""A state machine over the life of vouchers: the services and PostgreSQL on one side, a plain model on the other.

After each step every balance of the ledger and every state is the model's; after each sequence `cardhour verify` has
nothing to tell. CARDHOUR_SEQUENCES says how many sequences (CARDHOUR_LONG=1: 2 000), CARDHOUR_SEED which ones.
"""

import asyncio
import os
import random
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy.engine import URL

from tests.lives.model import (
    HOUR,
    IN_USE,
    Application,
    Claim,
    ClaimLine,
    Model,
    Programme,
    Redemption,
    Report,
    Reservation,
    Tier,
    Voucher,
    quarter_ends,
    quarter_of,
    year_of,
)
from tests.lives.town import PACKAGES, PRICES, PROGRAMMES, Town

LONG = {"CARDHOUR_SEQUENCES", "CARDHOUR_LONG"} & os.environ.keys()
SEQUENCES = int(os.environ.get("CARDHOUR_SEQUENCES", "2000" if LONG else "12"))
# The suite asks the same of every commit; the long run asks something new each time.
_SEED = random.SystemRandom().randrange(2**32) if LONG else 20_261_122
STEPS = 24
BEGINNINGS = (datetime(2026, 12, 1, 0, 30, tzinfo=UTC), datetime(2026, 12, 31, 10, 30, tzinfo=UTC))
_ANY = st.integers(0, 999)
_DELIVERED = st.sampled_from([100, 100, 97, 50, 0, 101])


@dataclass(frozen=True)
class Wish:
    """A hold to take: who of whom, with what subsidies, how much of them, and whether both sides accept at once."""

    buyer: int
    supplier: int
    package: tuple[tuple[Programme, Tier], ...]
    cards: int
    hours: int
    lead: int
    much: str
    confirmed: bool


_WISHES = st.builds(
    Wish,
    buyer=st.sampled_from([0, 1, 0, 1, 2]),
    supplier=st.integers(0, 1),
    package=st.sampled_from(PACKAGES),
    cards=st.integers(30, 120),
    hours=st.integers(5, 30),
    lead=st.integers(1, 60),
    much=st.sampled_from(["what is left", "what is left", "what is left", "the rate", "half"]),
    confirmed=st.booleans(),
)
Run = Callable[[Coroutine[Any, Any, Any]], Any]


def machine(run: Run, town: Town) -> type[RuleBasedStateMachine]:
    """The machine over a town; each sequence begins with an empty one."""

    class Lives(RuleBasedStateMachine):
        model: Model

        def __init__(self) -> None:
            super().__init__()
            self.model = run(town.open(BEGINNINGS[0]))

        @initialize(
            now=st.sampled_from(BEGINNINGS),
            wishes=st.lists(_WISHES, min_size=1, max_size=3),
            courses=st.lists(_ANY, max_size=16),
        )
        def begin(self, now: datetime, wishes: list[Wish], courses: list[int]) -> None:
            """Take some holds, and let them go some way along the ordinary course."""
            town.now = self.model.now = now
            for wish in wishes:
                self.hold(wish)
            for course in courses:
                self.go_on(course)
                self.the_ledger_agrees()
                self.everything_else_agrees()

        # What a rule is about: one of those there are

        def reservations(self, *states: str) -> list[Reservation]:
            return [each for each in self.model.reservations.values() if not states or each.state in states]

        def reported(self) -> list[tuple[Reservation, Report]]:
            return [(each, report) for each in self.model.reservations.values() for report in each.reports]

        def applications(self, *states: str) -> list[Application]:
            return [each for each in self.model.applications if not states or each.state in states]

        def vouchers(self, *states: str) -> list[Voucher]:
            return [each for each in self.model.vouchers if not states or each.state in states]

        def redemptions(self) -> list[Redemption]:
            """Those that can be claimed, now or after their quarter."""
            found = [each for voucher in self.model.vouchers for each in voucher.redemptions]
            return [each for each in found if each.left and each.claim is None and each.voucher.state != "revoked"]

        def claims(self, *states: str) -> list[Claim]:
            return [each for each in self.model.claims.values() if not states or each.state in states]

        def agree(self, real: str | None, modelled: str | None) -> bool:
            """Both refuse for the same reason, or both are done; then the worker and the model follow it up."""
            assert real == modelled
            # What comes back onto a voucher whose time is over is the sweep's, as if time had passed.
            run(town.work(time_passed=any(each.over(self.model.now) for each in self.model.vouchers)))
            self.model.sweep()
            return modelled is None

        # Hold and confirmation

        @rule(wish=_WISHES)
        def hold(self, wish: Wish) -> None:
            model, year = self.model, year_of(self.model.now)
            caller, price, hours = town.buyers[wish.buyer], PRICES[wish.supplier], wish.hours
            starts_at = model.now.replace(minute=0) + wish.lead * HOUR
            room = cost = price * wish.cards * hours
            subsidies: list[tuple[Programme, Tier, int]] = []
            for programme, tier in wish.package:
                amount = min(room, tier.rate * cost // 1_000_000)
                if wish.much == "half":
                    amount //= 2
                elif wish.much == "what is left" and year in programme.years:
                    left = model.left(programme, tier, year, caller.org_id)
                    amount = amount if left is None else min(amount, left)
                if amount > 0:
                    subsidies.append((programme, tier, amount))
                    room -= amount
            real = run(town.hold(caller, wish.supplier, wish.cards, hours, starts_at, subsidies, year))
            held: Reservation | None = None
            if real is None:
                held = Reservation(
                    id=town.answer.id,
                    buyer=caller.org_id,
                    supplier=town.suppliers[wish.supplier].org_id,
                    price=price,
                    cards=wish.cards,
                    starts_at=starts_at,
                    ends_at=starts_at + hours * HOUR,
                    hold_ends_at=min(starts_at, model.now + timedelta(hours=24)),
                )
                ids = run(town.vouchers_of(held.id))
                held.vouchers = [Voucher(ids[p.id], p, tier, year, held, fen) for p, tier, fen in subsidies]
            if self.agree(real, model.may_hold(caller.org_id, subsidies)) and held is not None:
                model.hold(held)
                if wish.confirmed:
                    self.confirm(held)

        @precondition(lambda self: self.reservations("held"))
        @rule(which=_ANY)
        def accept(self, which: int) -> None:
            self.confirm(_pick(self.reservations("held"), which))

        def confirm(self, reservation: Reservation) -> None:
            assert run(town.accept(reservation)) is None
            reservation.contract, made = run(town.applications_of(reservation.id))
            self.model.confirm(reservation, lambda programme: made[programme.id])
            self.agree(None, None)

        @precondition(lambda self: self.reservations())
        @rule(which=_ANY)
        def cancel(self, which: int) -> None:
            reservation = _pick(self.reservations("held", "confirmed") or self.reservations(), which)
            self.agree(run(town.cancel(reservation)), self.model.cancel(reservation))

        @precondition(lambda self: self.reservations("confirmed"))
        @rule(which=_ANY)
        def pay_ahead(self, which: int) -> None:
            reservation = _pick(self.reservations("confirmed"), which)
            self.agree(run(town.pay_ahead(reservation)), self.model.pay_ahead(reservation))

        @precondition(lambda self: self.reservations("active"))
        @rule(which=_ANY)
        def end_early(self, which: int) -> None:
            reservation = _pick(self.reservations("active"), which)
            self.agree(run(town.end(reservation)), self.model.end(reservation))

        @precondition(lambda self: self.reservations(*IN_USE))
        @rule(which=_ANY, hours=st.integers(1, 10))
        def extend(self, which: int, hours: int) -> None:
            reservation = _pick(self.reservations(*IN_USE), which)
            self.agree(run(town.extend(reservation, hours)), self.model.extend(reservation, hours))

        # Applications and vouchers

        @precondition(lambda self: self.applications())
        @rule(which=_ANY, less=st.sampled_from([None, None, 1, 100_000, 10**9]))
        def approve(self, which: int, less: int | None) -> None:
            application = _pick(self.applications("submitted") or self.applications(), which)
            self.agree(run(town.approve(application.id, less)), self.model.approve(application, less))

        @precondition(lambda self: self.applications("submitted"))
        @rule(which=_ANY)
        def reject(self, which: int) -> None:
            application = _pick(self.applications("submitted"), which)
            self.agree(run(town.reject(application.id)), self.model.reject(application))

        @precondition(lambda self: self.applications("submitted"))
        @rule(which=_ANY)
        def withdraw(self, which: int) -> None:
            application = _pick(self.applications("submitted"), which)
            buyer = application.voucher.reservation.buyer
            self.agree(run(town.withdraw(application.id, buyer)), self.model.withdraw(application))

        @precondition(lambda self: self.applications("rejected"))
        @rule(which=_ANY)
        def accept_full_price(self, which: int) -> None:
            application = _pick(self.applications("rejected"), which)
            buyer = application.voucher.reservation.buyer
            self.agree(run(town.accept_full_price(application.id, buyer)), self.model.accept_full_price(application))

        @precondition(lambda self: self.vouchers("issued", "exhausted", "expired", "revoked"))
        @rule(which=_ANY)
        def revoke(self, which: int) -> None:
            voucher = _pick(self.vouchers("issued", "exhausted", "expired", "revoked"), which)
            self.agree(run(town.revoke(voucher)), self.model.revoke(voucher))

        # Delivery and settlement

        @precondition(lambda self: self.reservations())
        @rule(which=_ANY, part=st.sampled_from([1, 2, 3]), delivered=_DELIVERED)
        def report(self, which: int, part: int, delivered: int) -> None:
            self.report_next(
                _pick(self.reservations("active", "completed") or self.reservations(), which), part, delivered
            )

        def report_next(self, reservation: Reservation, part: int, delivered: int) -> None:
            """Report the next period: all that ran since the last one, or a part of it; 101 % is refused."""
            start = max([report.end for report in reservation.reports], default=reservation.starts_at)
            until = min(reservation.ends_at, self.model.now)
            seconds = int((until - start).total_seconds()) // part
            if seconds <= 0 and reservation.state in ("active", "completed"):
                return
            seconds = max(seconds, 1)
            most = reservation.cards * seconds
            metered = most * delivered // 100 + (delivered > 100)
            report = Report(UUID(int=0), start, start + timedelta(seconds=seconds), metered)
            real = run(town.report(reservation, report, None))
            report.id = town.answer
            self.agree(real, self.model.report(reservation, report))

        @precondition(lambda self: self.reported())
        @rule(which=_ANY, delivered=_DELIVERED)
        def correct(self, which: int, delivered: int) -> None:
            reservation, wrong = _pick(self.reported(), which)
            most = reservation.cards * int((wrong.end - wrong.start).total_seconds())
            report = Report(UUID(int=0), wrong.start, wrong.end, most * delivered // 100)
            real = run(town.report(reservation, report, wrong))
            report.id = town.answer
            self.agree(real, self.model.report(reservation, report, wrong))

        @precondition(lambda self: any(line.state == "open" for each in self.reservations() for line in each.lines))
        @rule(which=_ANY)
        def pay(self, which: int) -> None:
            opened = [(each, line) for each in self.reservations() for line in each.lines if line.state == "open"]
            reservation, line = _pick(opened, which)
            settlement = run(town.open_settlement(reservation.id, line.amount, line.payable))
            assert settlement is not None
            self.agree(run(town.pay(settlement, line.payable)), self.model.pay(line))

        # Claims

        @precondition(lambda self: any(each.redemptions for each in self.model.vouchers))
        @rule(which=_ANY, role=st.sampled_from(["claimant", "claimant", "claimant", "other"]))
        def claim(self, which: int, role: str) -> None:
            """Claim the quarter of a redemption, where it is not over yet after letting it be."""
            everything = [each for voucher in self.model.vouchers for each in voucher.redemptions]
            redemption = _pick(self.redemptions() or everything, which)
            voucher = redemption.voucher
            programme, side = voucher.programme, voucher.reservation
            by_supplier = (programme.claimed_by == "supplier") == (role == "claimant")
            claimant = town.caller(side.supplier if by_supplier else side.buyer)
            period = quarter_of(redemption.made_at)
            if role == "claimant" and self.model.now < quarter_ends(period) and which % 2:
                self.pass_to(quarter_ends(period) + HOUR)
            mine = self.model.claimable(programme, claimant.org_id, period)
            real = run(town.claim(programme, claimant, period))
            modelled = self.model.may_claim(programme, claimant.org_id, "supplier" if by_supplier else "buyer", period)
            if modelled is None and real is None:
                lines = [ClaimLine(each, each.left) for each in mine]
                self.model.claim(Claim(town.answer.id, programme, claimant.org_id, period, lines))
            self.agree(real, modelled)

        @precondition(lambda self: self.claims())
        @rule(which=_ANY, mask=st.sampled_from([0, 0, 0, 1, 2, 5, 7]))
        def decide(self, which: int, mask: int) -> None:
            claim = _pick(self.claims("submitted") or self.claims(), which)
            rejected = [line for place, line in enumerate(claim.lines) if mask >> place & 1]
            lines = run(town.lines_of(claim.id))
            ids = [lines[line.redemption.voucher.id, line.redemption.place] for line in rejected]
            self.agree(run(town.decide(claim, ids)), self.model.decide(claim, rejected))

        @precondition(lambda self: self.claims("approved", "paid"))
        @rule(which=_ANY)
        def pay_claim(self, which: int) -> None:
            claim = _pick(self.claims("approved") or self.claims("paid"), which)
            _, _, cash = self.model.cash(claim)
            self.agree(run(town.pay_claim(claim, cash)), self.model.pay_claim(claim))

        @precondition(lambda self: len(self.model.advanced) == 0)
        @rule(
            programme=st.sampled_from(["chengdu-2023", "first"]),
            supplier=st.integers(0, 1),
            amount=st.integers(1, 10**6),
        )
        def advance(self, programme: str, supplier: int, amount: int) -> None:
            org_id = town.suppliers[supplier].org_id
            refused = None if PROGRAMMES[programme].reserve else "no_reserve_fund"
            if self.agree(run(town.advance(PROGRAMMES[programme], org_id, amount)), refused):
                self.model.advanced[programme, org_id] += amount

        # The ordinary course, so that sequences come as far as a paid claim

        @precondition(lambda self: self.reservations())
        @rule(which=_ANY)
        def go_on(self, which: int) -> None:
            """Take one of the things that are to be done next."""
            unreported = [
                each
                for each in self.reservations("active", "completed")
                if max([report.end for report in each.reports], default=each.starts_at)
                < min(each.ends_at, self.model.now)
            ]
            ways: list[tuple[Sequence[Any], Callable[[], None]]] = [
                (self.reservations("held"), lambda: self.accept(which)),
                (self.applications("submitted"), lambda: self.approve(which, None)),
                (self.reservations("confirmed", "active"), lambda: self.a_reservation_runs(which)),
                (unreported, lambda: self.report_next(_pick(unreported, which), 1 + which % 2, 100)),
                (self.redemptions(), lambda: self.claim(which | 1, "claimant")),
                (self.claims("submitted"), lambda: self.decide(which, 0)),
                (self.claims("approved"), lambda: self.pay_claim(which)),
            ]
            todo = [way for found, way in ways if found]
            if todo:
                _pick(todo, which // 7)()

        # Time

        @precondition(lambda self: self.reservations())
        @rule(hours=st.sampled_from([1, 3, 7.5, 12, 24, 24, 49, 49, 240]))
        def time_passes(self, hours: float) -> None:
            self.pass_to(self.model.now + timedelta(hours=hours))

        @precondition(lambda self: self.reservations("confirmed", "active"))
        @rule(which=_ANY)
        def a_reservation_runs(self, which: int) -> None:
            """Time passes to the start of one that is confirmed, or the middle or end of one that runs."""
            each = _pick(self.reservations("confirmed", "active"), which)
            moments = (each.starts_at, each.starts_at + (each.ends_at - each.starts_at) / 2, each.ends_at)
            self.pass_to(next(moment for moment in moments if moment > self.model.now))

        def pass_to(self, moment: datetime) -> None:
            town.now = self.model.now = moment
            run(town.work())
            self.model.sweep()

        # What must agree

        @invariant()
        def the_ledger_agrees(self) -> None:
            found = differences(run(town.accounts()), self.model.accounts())
            assert not found, found

        @invariant()
        def everything_else_agrees(self) -> None:
            real, modelled = run(town.record()), self.model.record()
            found = [each for kind in modelled for each in differences(real[kind], modelled[kind])]
            assert not found, found

        def teardown(self) -> None:
            told = run(town.findings())
            assert not told, told

    return Lives


def differences(real: dict[Any, Any], modelled: dict[Any, Any]) -> list[str]:
    """Where the service's record and the model's differ."""
    return [
        f"{key}: {real.get(key)}, modelled {modelled.get(key)}"
        for key in sorted(real.keys() | modelled.keys())
        if real.get(key) != modelled.get(key)
    ]


def _pick(found: list[Any], which: int) -> Any:
    return found[which % len(found)]


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.mark.timeout(7200)
def test_lives_of_vouchers_are_what_the_model_says(database_url: URL, runner: asyncio.Runner) -> None:
    number = int(os.environ.get("CARDHOUR_SEED", _SEED))
    print(f"CARDHOUR_SEED={number} CARDHOUR_SEQUENCES={SEQUENCES}")
    town = runner.run(Town.build(database_url))
    try:
        run_state_machine_as_test(
            seed(number)(machine(runner.run, town)),
            settings=settings(
                max_examples=SEQUENCES,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                print_blob=True,
                suppress_health_check=cast("list[HealthCheck]", list(HealthCheck)),
            ),
        )
    finally:
        runner.run(town.close())
