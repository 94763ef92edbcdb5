"""A client in a process of its own that can be killed: it books, accepts, delivers, claims, until it is told to stop.

`python -m tests.faults.client WORLD JOURNAL NUMBER SEED` reads the market that it acts in, first asks again whatever
its journal has no answer to, and then plays the stories of buyers, suppliers and the desk in a few threads. Each write
is sent again with the same key until it is answered; an answer that no story expects is a fault in the journal.
"""

import json
import random
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import httpx

from app.kit.ids import new_id
from app.kit.time import format_rfc3339
from tests.faults.journal import Asked, Journal, Record, Told

THREADS = 3
AGAIN = frozenset({502, 503, 504})
NOT_YET = frozenset({"idempotency_in_flight", "concurrent_change"})
PATIENCE_SECONDS = 120.0
# What a market refuses in the course of business.
BUSY = frozenset({"capacity_taken", "funds_exhausted", "quote_expired", "quote_stale", "subsidy_changed"})
DECIDED = frozenset({"stale", "application_state", "rule_refuses"})


@dataclass
class World:
    """The market that clients act in, as made before the faults begin."""

    url: str
    keys: dict[str, str]
    orgs: dict[str, str]
    programme: str
    period: str
    start: str
    hours: int
    patience: float = 10.0  # seconds that a client waits for an answer
    proofs: dict[str, str] = field(default_factory=dict)
    delivering: dict[str, list[Any]] = field(default_factory=dict)  # supplier → reservations that ran, not reported
    redeemed: dict[str, list[str]] = field(default_factory=dict)  # supplier → redemptions that can be claimed

    @classmethod
    def read(cls, path: Path) -> "World":
        return cls(**json.loads(path.read_text(encoding="utf-8")))


class UnexpectedError(Exception):
    """An answer that no story expects."""


@dataclass
class Asker:
    """Sends what it is told to until it is answered for good."""

    world: World
    journal: Journal
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=self.world.url, timeout=self.world.patience)

    def write(
        self,
        op: str,
        who: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        if_match: int | None = None,
        about: str = "",
        refusals: frozenset[str] = frozenset(),
    ) -> Any:
        """POST as somebody; return the answer, or None where it was refused as business goes."""
        asked = Asked(new_id().hex, who, op, path, body or {}, if_match, about)
        self.journal.asked(asked)
        told = self.until_told(asked)
        if told.done:
            return told.body
        if told.body["code"] in refusals:
            return None
        raise UnexpectedError(f"{op} {path}: {told.status} {told.body}")

    def until_told(self, asked: Asked) -> Told:
        answer = self.send("POST", asked.who, asked.path, json=asked.body, headers=asked.headers())
        told = Told(answer.status_code, answer.json())
        self.journal.told(asked.key, told)
        return told

    def read(self, who: str, path: str, **params: Any) -> Any:
        answer = self.send("GET", who, path, params=params)
        if answer.status_code != 200:
            raise UnexpectedError(f"GET {path}: {answer.status_code} {answer.text}")
        return answer.json()

    def send(self, method: str, who: str, path: str, headers: dict[str, str] | None = None, **more: Any) -> Any:
        signed = {"Authorization": f"Bearer {self.world.keys[who]}"} | (headers or {})
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                answer = self.http.request(method, path, headers=signed, **more)
            except httpx.HTTPError:
                pass
            else:
                if answer.status_code >= 500 and answer.status_code not in AGAIN:
                    raise UnexpectedError(f"{method} {path}: {answer.status_code} {answer.text}")
                if answer.status_code not in AGAIN and not (
                    answer.status_code == 409 and answer.json()["code"] in NOT_YET
                ):
                    return answer
            if time.monotonic() > deadline:
                raise UnexpectedError(f"no answer to {method} {path} within {PATIENCE_SECONDS} s")
            self.journal.write("repeat", {})
            time.sleep(0.05)


@dataclass
class Stories:
    """What the parties do. One supplier and its buyers are this client's; the desk's queue is everybody's."""

    ask: Asker
    number: int
    dice: random.Random
    delivered: dict[str, int]  # reservation → periods reported
    claimable: list[str]
    lock: threading.Lock

    @property
    def world(self) -> World:
        return self.ask.world

    @property
    def supplier(self) -> str:
        return f"supplier-{self.number}"

    def play(self) -> None:
        stories: list[tuple[Callable[[], None], int]] = [(self.book, 5), (self.deliver, 3), (self.claim, 2)]
        [story] = self.dice.choices([each for each, _ in stories], [weight for _, weight in stories])
        story()

    def book(self) -> None:
        """A buyer books net of a voucher, both sides accept, the desk decides; or it is called off."""
        buyer = f"buyer-{self.dice.randrange(len([name for name in self.world.keys if name.startswith('buyer')]))}"
        start = datetime.fromisoformat(self.world.start)
        need = {
            "alternatives": [
                {"chips": "any", "cards": self.dice.randrange(1, 17), "hours": self.dice.randrange(1, 48)}
            ],
            "earliest_start": format_rfc3339(start + timedelta(hours=self.dice.randrange(0, self.world.hours // 2))),
            "deadline": format_rfc3339(start + timedelta(hours=self.world.hours)),
        }
        quote = self.ask.send("POST", buyer, "/v1/quotes", json={"need": need})
        if quote.status_code != 201:
            raise UnexpectedError(f"quote: {quote.status_code} {quote.text}")
        if not quote.json()["options"]:
            return
        option = {"quote_id": quote.json()["id"], "option": quote.json()["options"][0]["option"]}
        booked = self.ask.write("book", buyer, "/v1/reservations", option, refusals=BUSY)
        if booked is None:
            return
        [row] = booked["data"]
        if self.dice.random() < 0.15:
            self.cancel(buyer, row)
            return
        row = self.turn("accept", buyer, row)
        if self.dice.random() < 0.2:
            return
        sides = {"side": "supplier"}
        self.ask.write("accept", "desk", f"/v1/reservations/{row['id']}/accept", sides, if_match=row["version"])
        self.decide_one()

    def turn(self, verb: str, who: str, row: Any, **body: Any) -> Any:
        return self.ask.write(verb, who, f"/v1/reservations/{row['id']}/{verb}", body, if_match=row["version"])

    def cancel(self, buyer: str, row: Any) -> None:
        self.turn("cancel", buyer, row, reason="buyer_changed_plans")

    def decide_one(self) -> None:
        """The desk takes an application from its queue, perhaps the one that was just made."""
        queue = self.ask.read("desk", "/v1/voucher-applications", state="submitted", limit=20)["data"]
        if not queue:
            return
        chosen = self.dice.choice(queue)
        path = f"/v1/voucher-applications/{chosen['id']}"
        if self.dice.random() < 0.75:
            self.ask.write("approve", "desk", f"{path}/approve", if_match=chosen["version"], refusals=DECIDED)
            return
        body = {"reason": "desk_decision", "detail": "Not this time."}
        rejected = self.ask.write(
            "reject", "desk", f"{path}/reject", body, if_match=chosen["version"], refusals=DECIDED
        )
        if rejected is not None and self.dice.random() < 0.5:
            self.ask.write("full_price", "desk", f"{path}/accept-full-price", if_match=rejected["version"])

    def deliver(self) -> None:
        """The supplier reports the next half hour, sometimes corrects it, and records what was paid."""
        with self.lock:
            row = self.dice.choice(self.world.delivering[self.supplier])
            period = self.delivered.get(row["id"], 0)
            self.delivered[row["id"]] = period + 1
        begin = datetime.fromisoformat(row["starts_at"]) + period * PERIOD
        if begin + PERIOD > datetime.fromisoformat(row["ends_at"]):
            return
        path = f"/v1/reservations/{row['id']}/deliveries"
        report: dict[str, Any] = {
            "period_start": format_rfc3339(begin),
            "period_end": format_rfc3339(begin + PERIOD),
            "card_seconds": row["cards"] * int(PERIOD.total_seconds()),
        }
        made = self.ask.write("deliver", self.supplier, path, {"reports": [report]}, about=row["id"])
        if self.dice.random() < 0.15:
            less = report | {"card_seconds": report["card_seconds"] // 2, "corrects_id": made["reports"][0]["id"]}
            self.ask.write("correct", self.supplier, path, {"reports": [less]})
        elif self.dice.random() < 0.5:
            self.pay(made["settlements"])

    def pay(self, settlements: list[Any]) -> None:
        for each in settlements:
            if each["payment_state"] == "open" and each["payable_fen"] > 0:
                body = {"amount_fen": each["payable_fen"], "reference": "ICBC 0042"}
                path = f"/v1/settlements/{each['id']}/pay"
                self.ask.write("pay", self.supplier, path, body, if_match=each["version"])

    def claim(self) -> None:
        """The supplier claims two redemptions; the desk rejects them, which frees them, or approves and pays."""
        with self.lock:
            taken, self.claimable[:] = self.claimable[:2], self.claimable[2:]
        if not taken:
            return
        body = {
            "programme": self.world.programme,
            "period": self.world.period,
            "redemption_ids": taken,
            "proofs": [{"kind": "delivery record", "document_id": self.world.proofs[self.supplier]}],
        }
        made = self.ask.write("claim", self.supplier, "/v1/claims", body)
        path = f"/v1/claims/{made['id']}"
        draw = self.dice.random()
        if draw < 0.4:
            body = {"reason": "desk_decision", "detail": "The record is unsigned."}
            self.ask.write("claim_reject", "desk", f"{path}/reject", body, if_match=made["version"])
            with self.lock:
                self.claimable += taken
        elif draw < 0.9:
            approved = self.ask.write("claim_approve", "desk", f"{path}/approve", if_match=made["version"])
            body = {"amount_fen": approved["cash_fen"], "reference": "treasury 0007"}
            self.ask.write("claim_pay", "desk", f"{path}/pay", body, if_match=approved["version"])


PERIOD = timedelta(minutes=10)


def remembered(world: World, record: Record, number: int) -> tuple[dict[str, int], list[str]]:
    """Return where deliveries and claims of a client stand by its journal: also what is not answered was taken."""
    delivered: dict[str, int] = {}
    for asked in record.asked.values():
        if asked.op == "deliver":
            delivered[asked.about] = delivered.get(asked.about, 0) + 1
    claimed = {each for asked in record.asked.values() if asked.op == "claim" for each in asked.body["redemption_ids"]}
    claimable = [each for each in world.redeemed[f"supplier-{number}"] if each not in claimed]
    return delivered, claimable


def run(world: World, path: Path, number: int, seed: str, stop: threading.Event) -> int:
    """Play until told to stop; return 1 where something went wrong, which is then in the journal."""
    record = Record.read(path)
    journal = Journal(path)
    failed = threading.Event()

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:  # noqa: BLE001  noted as a fault, which the test fails on
            journal.write("fault", {"fault": traceback.format_exc()})
            failed.set()

    def repeat() -> None:
        asker = Asker(world, journal)
        for asked in record.open():
            asker.until_told(asked)

    guarded(repeat)
    delivered, claimable = remembered(world, record, number)
    lock = threading.Lock()

    def play(thread: int) -> None:
        dice = random.Random(f"{seed}-{number}-{thread}-{len(record.asked)}")
        stories = Stories(Asker(world, journal), number, dice, delivered, claimable, lock)
        while not stop.is_set() and not failed.is_set():
            guarded(stories.play)

    threads = [threading.Thread(target=play, args=(each,)) for each in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return int(failed.is_set())


def main() -> int:
    world, path, number, seed = sys.argv[1:]
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    return run(World.read(Path(world)), Path(path), int(number), seed, stop)


if __name__ == "__main__":
    sys.exit(main())
