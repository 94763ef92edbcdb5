"""A state machine of transfers against a plain model: the database agrees on every balance and every refusal.

After each step the model's balances are the database's, and the view of invariants has nothing to tell. Examples:
CARDHOUR_MACHINE_EXAMPLES.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy.engine import URL

from app.kit.ids import new_id
from tests.conftest import empty
from tests.ledger.conftest import TRANSFER, as_system, dsn

EXAMPLES = int(os.environ.get("CARDHOUR_MACHINE_EXAMPLES", "25"))
ORGANISATION = """INSERT INTO organisation (id, name, state, version, created_at)
    VALUES (gen_random_uuid(), 'the desk', 'approved', 1, now())"""
CORRECTION = """INSERT INTO ledger_correction (transfer_id, corrects_id, reason, by_org_id, created_at)
    VALUES ($1, $2, 'too much', (SELECT id FROM organisation LIMIT 1), now())"""
MANY = """INSERT INTO ledger_transfer (id, debit_id, credit_id, amount_fen, kind, pending_id)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::text[], $6::uuid[])"""
GUARDS = ("none", "debits_le_credits", "credits_le_debits")


@dataclass
class Modelled:
    """An account in plain Python."""

    guard: str
    dp: int = 0
    d: int = 0
    cp: int = 0
    c: int = 0

    @property
    def holds(self) -> bool:
        return {
            "none": True,
            "debits_le_credits": self.dp + self.d <= self.c,
            "credits_le_debits": self.cp + self.c <= self.d,
        }[self.guard]

    def moved(self, dp: int = 0, d: int = 0, cp: int = 0, c: int = 0) -> "Modelled":
        return Modelled(self.guard, self.dp + dp, self.d + d, self.cp + cp, self.c + c)


@dataclass
class Model:
    accounts: dict[UUID, Modelled] = field(default_factory=dict)
    pending: dict[UUID, tuple[UUID, UUID, int]] = field(default_factory=dict)
    resolved: set[UUID] = field(default_factory=set)
    posted: dict[UUID, tuple[UUID, UUID, int]] = field(default_factory=dict)

    def correct(self, wrong: UUID, amount: int) -> bool:
        """Take back some of what was posted: never more than is left of it."""
        debit, credit, left = self.posted[wrong]
        if amount > left or not self._move(credit, debit, 0, amount):
            return False
        self.posted[wrong] = (debit, credit, left - amount)
        return True

    def together(self, moves: list[tuple[UUID, UUID, int, int]]) -> bool:
        """Make several moves (debit, credit, pending, posted), all or none; guards are met at the end."""
        trial = dict(self.accounts)
        for debit, credit, pending, posted in moves:
            trial[debit] = trial[debit].moved(dp=pending, d=posted)
            trial[credit] = trial[credit].moved(cp=pending, c=posted)
        if not all(account.holds for account in trial.values()):
            return False
        self.accounts = trial
        return True

    def _move(self, debit: UUID, credit: UUID, pending: int, posted: int) -> bool:
        if debit == credit:
            return False
        one = self.accounts[debit].moved(dp=pending, d=posted)
        two = self.accounts[credit].moved(cp=pending, c=posted)
        if not (one.holds and two.holds):
            return False
        self.accounts[debit], self.accounts[credit] = one, two
        return True

    def transfer(self, debit: UUID, credit: UUID, amount: int, *, pending: bool) -> bool:
        return self._move(debit, credit, amount if pending else 0, 0 if pending else amount)

    def resolve(self, held: UUID, amount: int) -> bool:
        """Post `amount` of what is pending and release the rest; 0 releases all."""
        debit, credit, most = self.pending[held]
        if held in self.resolved or amount > most or not self._move(debit, credit, -most, amount):
            return False
        self.resolved.add(held)
        return True


def machine(run: Callable[[Any], Any], connection: asyncpg.Connection) -> type[RuleBasedStateMachine]:
    """The machine over one connection; each example begins with accounts of its own."""

    class Ledger(RuleBasedStateMachine):
        held = Bundle("held")
        done = Bundle("done")

        @initialize()
        def open(self) -> None:
            self.model = Model({new_id(): Modelled(guard) for guard in GUARDS * 2})
            self.ids = list(self.model.accounts)
            for account, modelled in self.model.accounts.items():
                run(
                    connection.execute(
                        "INSERT INTO ledger_account (id, name, kind, guard) VALUES ($1, $2, 'test', $3)",
                        account,
                        str(account),
                        modelled.guard,
                    )
                )

        def accepted(self, *row: Any) -> bool:
            try:
                run(connection.execute(TRANSFER, *row, None))
            except asyncpg.IntegrityConstraintViolationError:
                return False
            return True

        @rule(target=done, debit=st.integers(0, 5), credit=st.integers(0, 5), amount=st.integers(1, 20))
        def single(self, debit: int, credit: int, amount: int) -> UUID:
            one, two, made = self.ids[debit], self.ids[credit], new_id()
            agreed = self.accepted(made, one, two, amount, "single", None)
            assert agreed == self.model.transfer(one, two, amount, pending=False)
            if agreed:
                self.model.posted[made] = (one, two, amount)
            return made

        @rule(wrong=done, amount=st.integers(1, 25))
        def correct(self, wrong: UUID, amount: int) -> None:
            if wrong not in self.model.posted:
                return
            debit, credit, _ = self.model.posted[wrong]
            assert run(self.corrected(wrong, new_id(), credit, debit, amount)) == self.model.correct(wrong, amount)

        async def corrected(self, wrong: UUID, back: UUID, debit: UUID, credit: UUID, amount: int) -> bool:
            try:
                async with connection.transaction():
                    await connection.execute(TRANSFER, back, debit, credit, amount, "single", None, None)
                    await connection.execute(CORRECTION, back, wrong)
            except asyncpg.IntegrityConstraintViolationError:
                return False
            return True

        @rule(
            rows=st.lists(
                st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(1, 20), st.booleans()),
                min_size=2,
                max_size=4,
            ),
            post=st.integers(1, 20),
        )
        def several(self, rows: list[tuple[int, int, int, bool]], post: int) -> None:
            """One statement of several transfers, the last of which posts the first where that was pending."""
            made = [
                (new_id(), self.ids[debit], self.ids[(credit + 1) % 6 if debit == credit else credit], amount, pending)
                for debit, credit, amount, pending in rows
            ]
            told: list[tuple[UUID, UUID, UUID, int, str, UUID | None]] = [
                (key, one, two, amount, "pending" if held else "single", None) for key, one, two, amount, held in made
            ]
            moves = [(one, two, amount * held, amount * (not held)) for _, one, two, amount, held in made]
            first, one, two, amount, held = made[0]
            if held:
                told.append((new_id(), one, two, post, "post", first))
                moves.append((one, two, -amount, post))
            try:
                run(connection.execute(MANY, *map(list, zip(*told, strict=True))))
                agreed = True
            except asyncpg.IntegrityConstraintViolationError:
                agreed = False
            assert agreed == ((not held or post <= amount) and self.model.together(moves))
            if agreed and held:
                self.model.resolved.add(first)

        @rule(target=held, debit=st.integers(0, 5), credit=st.integers(0, 5), amount=st.integers(1, 20))
        def pend(self, debit: int, credit: int, amount: int) -> UUID:
            one, two, held = self.ids[debit], self.ids[credit], new_id()
            agreed = self.accepted(held, one, two, amount, "pending", None)
            assert agreed == self.model.transfer(one, two, amount, pending=True)
            if agreed:
                self.model.pending[held] = (one, two, amount)
            return held

        @rule(held=held, amount=st.integers(1, 25))
        def post(self, held: UUID, amount: int) -> None:
            self.resolve(held, "post", amount)

        @rule(held=held, kind=st.sampled_from(["void", "expire"]))
        def release(self, held: UUID, kind: str) -> None:
            self.resolve(held, kind, 0)

        def resolve(self, held: UUID, kind: str, amount: int) -> None:
            if held not in self.model.pending:
                assert not self.accepted(new_id(), self.ids[0], self.ids[1], amount, kind, held)
                return
            debit, credit, _ = self.model.pending[held]
            agreed = self.accepted(new_id(), debit, credit, amount, kind, held)
            assert agreed == self.model.resolve(held, amount)

        @invariant()
        def balances_agree(self) -> None:
            if not hasattr(self, "model"):
                return
            rows = run(
                connection.fetch(
                    "SELECT id, debits_pending, debits_posted, credits_pending, credits_posted FROM ledger_account"
                    " WHERE id = ANY ($1)",
                    self.ids,
                )
            )
            found = {row[0]: tuple(row)[1:] for row in rows}
            assert found == {k: (v.dp, v.d, v.cp, v.c) for k, v in self.model.accounts.items()}

        @invariant()
        def nothing_is_broken(self) -> None:
            if not hasattr(self, "model"):
                return
            told = dict(run(connection.fetchrow("SELECT * FROM ledger_invariants")))
            counts = {told.pop(name) for name in ("transfers", "open_pending", "open_pending_fen")}
            assert min(counts) >= 0
            assert set(told) == {"trial_balance", "trial_pending", "balances_off", "beyond_guard", "resolutions_off"}
            assert set(told.values()) == {0}

    return Ledger


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


def test_the_ledger_is_what_the_model_says(database_url: URL, runner: asyncio.Runner) -> None:
    connection = runner.run(asyncpg.connect(dsn(database_url.set(username="cardhour_app"))))
    runner.run(as_system(connection))
    runner.run(connection.execute(ORGANISATION))
    try:
        run_state_machine_as_test(
            machine(runner.run, connection),
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=30,
                deadline=None,
                database=None,
                print_blob=True,
                suppress_health_check=[HealthCheck.too_slow],
            ),
        )
    finally:
        runner.run(connection.close())
        runner.run(empty(database_url))
