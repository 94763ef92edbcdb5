"""What clients were told, held against what the database has: every acknowledged write is there, and nothing twice."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg
import httpx

from app.kit.ids import decode_id
from tests.faults.client import Asker, World
from tests.faults.harness import Service, cardhour
from tests.faults.journal import Asked, Journal, Record, Told
from tests.faults.replay import Tables, differences

# What an operation answers with: a row whose version the ETag is made of, and the column of its state.
VERSIONED: Final = {
    "accept": ("reservation", "rsv", "state"),
    "cancel": ("reservation", "rsv", "state"),
    "approve": ("voucher_application", "vap", "state"),
    "reject": ("voucher_application", "vap", "state"),
    "full_price": ("voucher_application", "vap", "state"),
    "pay": ("settlement", "stl", "payment_state"),
    "claim": ("claim", "clm", "state"),
    "claim_reject": ("claim", "clm", "state"),
    "claim_approve": ("claim", "clm", "state"),
    "claim_pay": ("claim", "clm", "state"),
}
REPORTS: Final = ("deliver", "correct", "report_all")
COUNTED: Final = ("reservation", "delivery_report", "settlement", "claim")


@dataclass
class Stored:
    """The rows of the tables that acknowledged writes are in, by id, and the ledger's transfers by what they are of."""

    rows: dict[str, dict[UUID, dict[str, Any]]]
    transfers: dict[UUID, Counter[tuple[str, int]]]  # subject → (kind, fen) of its transfers
    tables: Tables

    @classmethod
    async def read(cls, service: Service) -> "Stored":
        connection = await asyncpg.connect(service.dsn())
        try:
            names = ("reservation", "voucher_application", "voucher", "delivery_report", "settlement", "redemption")
            rows = {
                name: {row["id"]: dict(row) for row in await connection.fetch(f"SELECT * FROM {name}")}
                for name in (*names, "claim", "claim_line")
            }
            tables = await Tables.read(connection)
        finally:
            await connection.close()
        transfers: dict[UUID, Counter[tuple[str, int]]] = defaultdict(Counter)
        for each in tables.transfers:
            transfers[each["id"]][each["kind"], each["amount_fen"]] += 1
            if each["subject"] is not None:
                transfers[each["subject"]][each["kind"], each["amount_fen"]] += 1
        return cls(rows, transfers, tables)


def lost(record: Record, stored: Stored) -> list[str]:
    """Return every acknowledged write that is not in the database as it was acknowledged, or further on."""
    return [line for asked, told in record.acknowledged() for line in _lost(asked, told, stored)]


def _lost(asked: Asked, told: Told, stored: Stored) -> Iterable[str]:
    if asked.op in VERSIONED:
        yield from _behind(asked, told.body, stored)
    if asked.op == "book":
        for row in told.body["data"]:
            yield from _lost_booking(row, stored)
    elif asked.op in REPORTS:
        for row in told.body["reports"]:
            found = stored.rows["delivery_report"].get(decode_id("dlv", row["id"]))
            if found is None or found["card_seconds"] != row["card_seconds"]:
                yield f"report {row['id']}: {found}"
        for row in told.body["settlements"]:
            yield from _lost_settlement(row, stored)
    elif asked.op == "claim":
        for line in told.body["lines"]:
            found = stored.rows["claim_line"].get(decode_id("cll", line["id"]))
            if found is None or stored.transfers[found["transfer_id"]]["pending", line["amount_fen"]] != 1:
                yield f"claim line {line['id']} of {line['amount_fen']} fen: {found}"
    elif asked.op == "claim_pay":
        posted = stored.transfers[decode_id("clm", told.body["id"])]
        if sum(fen * count for (kind, fen), count in posted.items() if kind == "post") != told.body["approved_fen"]:
            yield f"claim {told.body['id']} was paid {told.body['cash_fen']} fen: {posted}"


def _behind(asked: Asked, row: Any, stored: Stored) -> Iterable[str]:
    """A row's version never goes back, and at the acknowledged version it is in the acknowledged state."""
    table, prefix, state = VERSIONED[asked.op]
    found = stored.rows[table].get(decode_id(prefix, row["id"]))
    if found is None:
        yield f"{asked.op}: {row['id']} is gone"
    elif found["version"] < row["version"] or (found["version"] == row["version"] and found[state] != row[state]):
        yield f"{asked.op}: {row['id']} was {row[state]} at {row['version']}: {found[state]} at {found['version']}"


def _lost_booking(row: Any, stored: Stored) -> Iterable[str]:
    key = decode_id("rsv", row["id"])
    found = stored.rows["reservation"].get(key)
    same = ("cards", "price_fen", "cost_fen")
    if found is None or any(found[name] != row[name] for name in same):
        yield f"reservation {row['id']}: {found}"
        return
    vouchers = [each for each in stored.rows["voucher"].values() if each["subject_id"] == key]
    if sum(each["amount_fen"] for each in vouchers) != row["subsidy_fen"]:
        yield f"reservation {row['id']} had a subsidy of {row['subsidy_fen']} fen: {vouchers}"
    for each in vouchers:
        # One leg on the pool, one on the buyer's cap.
        if stored.transfers[each["id"]]["pending", each["amount_fen"]] != 2:
            yield f"voucher {each['id']} of {each['amount_fen']} fen: {stored.transfers[each['id']]}"


def _lost_settlement(row: Any, stored: Stored) -> Iterable[str]:
    found = stored.rows["settlement"].get(decode_id("stl", row["id"]))
    if found is None or found["amount_fen"] != row["amount_fen"]:
        yield f"settlement {row['id']}: {found}"
    for each in row["redemptions"]:
        kept = stored.rows["redemption"].get(decode_id("rdm", each["id"]))
        if kept is None or stored.transfers[kept["transfer_id"]]["single", each["amount_fen"]] != 1:
            yield f"redemption {each['id']} of {each['amount_fen']} fen: {kept}"


def surplus(record: Record, stored: Stored) -> list[str]:
    """Return rows that no client was told of; there must be none once every question is answered."""
    told: dict[str, set[UUID]] = {name: set() for name in COUNTED}
    for asked, answer in record.acknowledged():
        if asked.op == "book":
            told["reservation"] |= {decode_id("rsv", row["id"]) for row in answer.body["data"]}
        elif asked.op in REPORTS:
            told["delivery_report"] |= {decode_id("dlv", row["id"]) for row in answer.body["reports"]}
            told["settlement"] |= {decode_id("stl", row["id"]) for row in answer.body["settlements"]}
        elif asked.op == "claim":
            told["claim"].add(decode_id("clm", answer.body["id"]))
    return [f"{name} {key} was never told of" for name in COUNTED for key in stored.rows[name].keys() - told[name]]


def ask_again(world: World, record: Record, url: str, folder: Path) -> list[str]:
    """Send every write once more, with its key: the same answer, nothing more. Return what came otherwise.

    What was never answered is answered now, and noted.
    """
    journal = Journal(folder / "again.jsonl")
    asker = Asker(replace(world, url=url, patience=30.0), journal)
    for asked in record.open():
        record.told[asked.key] = asker.until_told(asked)

    def once_more(part: list[Asked]) -> list[str]:
        wrong: list[str] = []
        with httpx.Client(base_url=url, timeout=30) as http:
            for asked in part:
                told = record.told[asked.key]
                headers = asked.headers() | {"Authorization": f"Bearer {world.keys[asked.who]}"}
                answer = http.post(asked.path, json=asked.body, headers=headers)
                if (answer.status_code, answer.json()) != (told.status, told.body) and told.done:
                    wrong.append(f"{asked.op} {asked.path}: {told.status} became {answer.status_code} {answer.text}")
                elif not told.done and answer.is_success:
                    wrong.append(f"{asked.op} {asked.path} was refused ({told.status}), then {answer.status_code}")
        return wrong

    writes = list(record.asked.values())
    with ThreadPoolExecutor(4) as pool:
        wrong = [line for part in pool.map(once_more, [writes[n::4] for n in range(4)]) for line in part]
    asker.http.close()
    journal.close()
    return wrong


async def check(service: Service, world: World, record: Record, **settings: str) -> None:
    """Hold everything against everything; the service stands and nobody else asks."""
    assert record.faults == []
    assert lost(record, await Stored.read(service)) == []
    assert ask_again(world, record, service.url, service.data_dir.parent) == []
    stored = await Stored.read(service)
    assert lost(record, stored) == []
    assert surplus(record, stored) == []
    assert differences(stored.tables) == []
    verified = cardhour(service.data_dir, "verify", **settings)
    assert verified.returncode == 0, verified.stdout + verified.stderr
