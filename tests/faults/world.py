"""A market with a past, made over the API: contracts that ran last month, half of them delivered, redeemed, unclaimed.

The service's clock begins before the end of last month (as in the documents' tests) and is put to the present before
any fault: claims are for a period that is over, and the rest runs on the real clock.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import httpx

from app.kit.time import ceil_hour, format_rfc3339
from tests.faults.client import PERIOD, Asker, World
from tests.faults.harness import Service
from tests.faults.journal import Journal

SUPPLIERS: Final = 3
BUYERS: Final = 6
RAN_HOURS: Final = 24
BEFORE: Final = timedelta(days=4)
SHANGHAI: Final = ZoneInfo("Asia/Shanghai")
PROGRAMME: Final = "load-example"
# The desk decides on each application, since only it can see what is to be checked.
TOML: Final = f"""
id = "{PROGRAMME}"
version = 1
grade = "example"
sources = ["Made up for tests."]
time_zone = "Asia/Shanghai"
base = "contract"
pool_year_cny = "2000000"
buyer_year_cny = "600000"
partners_only = true

[title]
en = "Under load"
zh = "负载示例"

[claim]
by = "supplier"
cadence = "month"
proofs = ["delivery record"]

[[desk_checks]]
en = "Something that only the desk can see."
zh = "须由撮合专员核验的事项。"

[[tiers]]
id = "general"
rate = "0.5"
mode = "up_to"

[[tiers.clauses]]
integrity = "clean"
"""


def month_began(now: datetime) -> datetime:
    """Return when the present month began in Shanghai."""
    return now.astimezone(SHANGHAI).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


class Made:
    """A market in the making: a thin hand on the API, which must never refuse."""

    def __init__(self, url: str, desk: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=30)
        self.keys = {"desk": desk}
        self.orgs: dict[str, str] = {}
        self.count = 0

    def close(self) -> None:
        self.http.close()

    def post(self, who: str, path: str, body: Any = None, **more: Any) -> Any:
        self.count += 1
        headers = {"Idempotency-Key": f"made-{self.count}"}
        if who:
            headers["Authorization"] = f"Bearer {self.keys[who]}"
        if "version" in more:
            headers["If-Match"] = f'"{more.pop("version")}"'
        sent = more or {"json": body or {}}
        answer = self.http.post(path, headers=headers, **sent)
        assert answer.status_code in {200, 201}, f"{path}: {answer.text}"
        return answer.json()

    def register(self, name: str, role: str, year: int, **facts: Any) -> None:
        made = self.post("", "/v1/organisations", {"name": name, "roles": [role]})
        self.keys[name], self.orgs[name] = made["key"]["secret"], made["organisation"]["id"]
        path = f"/v1/organisations/{self.orgs[name]}"
        self.post("desk", f"{path}/approve")
        for key, value in facts.items():
            self.post("desk", f"{path}/facts", {"key": key, "value": value, "valid_from": f"{year}-01-01"})


def make_world(service: Service, desk: str, folder: Path, put_clock: Callable[[timedelta], None]) -> None:
    """Make the market on a service whose clock `put_clock` sets apart from the real one.

    It is told in `world.json`, and what was acknowledged while it was made in `past.jsonl`.
    """
    real = datetime.now(UTC)
    then = month_began(real) - BEFORE
    put_clock(then - real)
    made = Made(service.url, desk)
    suppliers = [f"supplier-{each}" for each in range(SUPPLIERS)]
    buyers = [f"buyer-{each}" for each in range(BUYERS)]
    for name in suppliers:
        made.register(name, "supplier", then.year, partner=True)
    for name in buyers:
        made.register(name, "buyer", then.year, integrity="clean")
    made.post("desk", "/v1/programmes", {"toml": TOML})
    made.post("desk", f"/v1/programmes/{PROGRAMME}/publish", {"version": 1}, version=1)
    for year in sorted({then.year, real.astimezone(SHANGHAI).year, (real + timedelta(days=40)).year}):
        made.post("desk", f"/v1/programmes/{PROGRAMME}/open", {"year": year})

    ran_from, now_from = ceil_hour(then) + timedelta(hours=1), ceil_hour(real) + timedelta(hours=3)
    world = World(
        url=service.url,
        keys=made.keys,
        orgs=made.orgs,
        programme=PROGRAMME,
        period=f"{then.astimezone(SHANGHAI):%Y-%m}",
        start=format_rfc3339(now_from),
        hours=300,
    )
    journal = Journal(folder / "past.jsonl")
    ask = Asker(world, journal)
    for number, supplier in enumerate(suppliers):
        steps = [
            (ran_from, 32),
            (ran_from + timedelta(hours=RAN_HOURS), 0),
            (now_from, 64),
            (now_from + timedelta(hours=world.hours), 0),
        ]
        made.post(
            supplier,
            "/v1/offers",
            {
                "chip_model": "A100 80G",
                "region": "成都",
                "cards_per_node": 8,
                "price_fen": 900 + 10 * number,
                "capacity": [{"starts_at": format_rfc3339(at), "cards": cards} for at, cards in steps],
            },
        )
    # Four contracts a supplier: each buyer's quote takes the cheapest offer that is left.
    ran = [contract(ask, buyers[each % BUYERS], ran_from) for each in range(4 * SUPPLIERS)]
    put_clock(then + BEFORE - timedelta(hours=12) - real)
    names = {org: name for name, org in made.orgs.items()}
    wait_until_ran(ask, ran)
    for name in suppliers:
        own = [row for row in ran if names[row["supplier_org_id"]] == name]
        assert len(own) == 4
        world.delivering[name] = own[:2]
        world.redeemed[name] = [each for row in own[2:] for each in delivered(ask, name, row)]
        proof = {"file": ("record.pdf", b"%PDF-1.7 " + name.encode(), "application/pdf")}
        world.proofs[name] = made.post(name, "/v1/claim-proofs", files=proof)["id"]
    put_clock(timedelta(0))
    ask.http.close()
    made.close()
    journal.close()
    (folder / "world.json").write_text(json.dumps(asdict(world)), encoding="utf-8")


def contract(ask: Asker, buyer: str, start: datetime) -> Any:
    """Book a contract net of its voucher, let both sides accept and the desk approve; return the reservation."""
    end = start + timedelta(hours=RAN_HOURS)
    need = {
        "alternatives": [{"cards": 8, "hours": RAN_HOURS}],
        "earliest_start": format_rfc3339(start),
        "deadline": format_rfc3339(end),
    }
    quote = ask.send("POST", buyer, "/v1/quotes", json={"need": need}).json()
    placement = quote["options"][0]["placements"][0]
    assert placement["subsidy_fen"] * 2 == placement["cost_fen"], placement
    booked = ask.write("book", buyer, "/v1/reservations", {"quote_id": quote["id"], "option": 1})
    [row] = booked["data"]
    for side in ("buyer", "supplier"):
        path = f"/v1/reservations/{row['id']}/accept"
        row = ask.write("accept", "desk", path, {"side": side}, if_match=row["version"])
    [waiting] = ask.read("desk", "/v1/voucher-applications", state="submitted")["data"]
    ask.write("approve", "desk", f"/v1/voucher-applications/{waiting['id']}/approve", if_match=waiting["version"])
    return row


def wait_until_ran(ask: Asker, ran: list[Any]) -> None:
    for row in ran:
        while ask.read("desk", f"/v1/reservations/{row['id']}")["state"] != "completed":
            time.sleep(0.1)


def delivered(ask: Asker, supplier: str, row: Any) -> list[str]:
    """Report a whole contract in short periods; return the redemptions."""
    begin, end = datetime.fromisoformat(row["starts_at"]), datetime.fromisoformat(row["ends_at"])
    reports: list[dict[str, Any]] = []
    while begin < end:
        reports.append(
            {
                "period_start": format_rfc3339(begin),
                "period_end": format_rfc3339(begin + PERIOD),
                "card_seconds": row["cards"] * int(PERIOD.total_seconds()),
            }
        )
        begin += PERIOD
    path = f"/v1/reservations/{row['id']}/deliveries"
    made = ask.write("report_all", supplier, path, {"reports": reports})
    return [each["id"] for settlement in made["settlements"] for each in settlement["redemptions"]]
