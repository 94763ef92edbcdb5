"""`kill -9` of the service, its worker, PostgreSQL and its backends while clients book: nothing acknowledged is lost.

`CARDHOUR_FAULT_ROUNDS` says how many kills (`make faults` takes 30); the seed is printed and taken from
`CARDHOUR_FAULT_SEED`.
"""

import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.kit.time import format_rfc3339
from tests.faults.harness import Market, Service, cardhour, desk_key

ROUNDS = int(os.environ.get("CARDHOUR_FAULT_ROUNDS") or "3")
SEED = int(os.environ.get("CARDHOUR_FAULT_SEED") or random.randrange(2**32))
CLIENTS = 6
AGAIN = frozenset({409, 500, 502, 503, 504})


@dataclass
class Booked:
    """What a client was told, and how it asked."""

    key: str
    body: dict[str, Any]
    answer: dict[str, Any]


@dataclass
class Load:
    """Clients that quote, book, accept and cancel until told to stop; each write is repeated until answered."""

    url: str
    api_key: str
    buyer: str
    market: Market
    stop: threading.Event = field(default_factory=threading.Event)
    booked: list[Booked] = field(default_factory=list)
    state: dict[str, tuple[str, str]] = field(default_factory=dict)  # reservation id → (state, etag) last acknowledged
    refused: int = 0
    repeats: int = 0

    def run(self, number: int) -> None:
        dice = random.Random(f"{SEED}-{number}")
        headers = {"Authorization": f"Bearer {self.api_key}"}
        with httpx.Client(base_url=self.url, headers=headers, timeout=10) as http:
            count = 0
            while not self.stop.is_set():
                count += 1
                self.once(http, dice, f"{number}-{count}")

    def once(self, http: httpx.Client, dice: random.Random, name: str) -> None:
        hours = dice.randrange(1, 48)
        need = {
            "alternatives": [{"chips": "any", "cards": dice.randrange(1, 17), "hours": hours}],
            "earliest_start": format_rfc3339(self.market.start + timedelta(hours=dice.randrange(0, 100))),
            "deadline": format_rfc3339(self.market.start + timedelta(hours=self.market.hours)),
        }
        quote = self.send(http, "POST", "/v1/quotes", {"buyer_org_id": self.buyer, "need": need}, f"q{name}")
        if quote.status_code != 201 or not quote.json()["options"]:
            self.refused += 1
            return
        body = {"quote_id": quote.json()["id"], "option": quote.json()["options"][0]["option"]}
        booked = self.send(http, "POST", "/v1/reservations", body, f"b{name}")
        if booked.status_code != 201:
            assert booked.json()["code"] in {"capacity_taken", "quote_expired"}, booked.text
            self.refused += 1
            return
        reservation = booked.json()["data"][0]
        self.booked.append(Booked(f"b{name}", body, booked.json()))
        self.state[reservation["id"]] = ("held", "")
        if dice.random() < 0.5:
            self.follow(http, reservation["id"], "accept", {"side": "buyer"}, f"a{name}")
        elif dice.random() < 0.3:
            self.follow(http, reservation["id"], "cancel", {"reason": "desk_decision"}, f"c{name}")

    def follow(self, http: httpx.Client, rsv: str, verb: str, body: dict[str, Any], key: str) -> None:
        read = self.send(http, "GET", f"/v1/reservations/{rsv}")
        etag = read.headers["etag"]
        answer = self.send(http, "POST", f"/v1/reservations/{rsv}/{verb}", body, key, {"If-Match": etag})
        assert answer.status_code == 200, answer.text
        self.state[rsv] = (answer.json()["state"], answer.headers["etag"])

    def send(
        self,
        http: httpx.Client,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        key: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Ask until the service answers for good; the same key makes repeats harmless."""
        deadline = time.monotonic() + 120
        while True:
            try:
                answer = http.request(
                    method, path, json=body, headers=(headers or {}) | ({"Idempotency-Key": key} if key else {})
                )
            except httpx.HTTPError:
                pass
            else:
                if answer.status_code not in AGAIN:
                    return answer
                if answer.status_code == 409 and answer.json()["code"] not in {
                    "idempotency_in_flight",
                    "concurrent_change",
                }:
                    return answer
                assert answer.status_code != 500, answer.text
            assert time.monotonic() < deadline, f"no answer to {method} {path} within 120 s"
            self.repeats += 1
            time.sleep(0.05)


@pytest.fixture
def service(tmp_path: Path) -> Any:
    service = Service(tmp_path / "data")
    service.start()
    yield service
    if service.process is not None and service.process.poll() is None:
        service.stop()


def hurt(service: Service, dice: random.Random) -> dict[str, int]:
    """Kill something every second or so, and wait until the service is ready again."""
    hits: dict[str, int] = {}
    kinds = [service.kill_service, service.kill_worker, service.kill_postgres, service.kill_backend]
    order = [kinds[i % len(kinds)] for i in range(ROUNDS)]
    dice.shuffle(order)
    for kill in order:
        time.sleep(dice.uniform(0.3, 1.2))
        if kill():
            hits[kill.__name__] = hits.get(kill.__name__, 0) + 1
        service.wait_ready()
    time.sleep(0.5)
    return hits


@pytest.mark.timeout(120 + 20 * ROUNDS)
def test_nothing_acknowledged_is_lost(service: Service) -> None:
    print(f"CARDHOUR_FAULT_SEED={SEED}")
    key = desk_key(service.data_dir)
    market = Market.make(service.url, key)
    buyer = Market.organisation(market.api, "buyer")
    load = Load(service.url, key, buyer, market)
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(load.run, number) for number in range(CLIENTS)]
        try:
            hits = hurt(service, random.Random(SEED))
        finally:
            load.stop.set()
        for client in clients:
            client.result()
    print(f"kills {hits}, booked {len(load.booked)}, refused {load.refused}, repeated {load.repeats}")
    assert sum(hits.values()) >= 1
    assert load.booked

    # What was acknowledged is there, as acknowledged; asking again with the same key changes nothing.
    for booked in load.booked:
        told = booked.answer["data"][0]
        now = market.api.get(f"/v1/reservations/{told['id']}").json()
        assert {name: now[name] for name in ("offer_id", "cards", "starts_at", "ends_at", "net_fen")} == {
            name: told[name] for name in ("offer_id", "cards", "starts_at", "ends_at", "net_fen")
        }
        state, _ = load.state[told["id"]]
        assert now["state"] == state or (state == "held" and now["state"] in {"held", "expired"}), (state, now)
        again = market.api.post("/v1/reservations", json=booked.body, headers={"Idempotency-Key": booked.key})
        assert (again.status_code, again.json()) == (201, booked.answer)

    # Nothing more is there than was acknowledged or is owed an answer: clients stopped only after their answers.
    listed = market.api.get("/v1/reservations", params={"limit": 100}).json()
    total = len(listed["data"])
    while listed["has_more"]:
        listed = market.api.get("/v1/reservations", params={"limit": 100, "after": listed["next_cursor"]}).json()
        total += len(listed["data"])
    assert total == len(load.booked)

    verified = cardhour(service.data_dir, "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    market.api.close()
    assert service.stop() == 0
    assert service.postmaster() is None  # the last user stopped the embedded server
