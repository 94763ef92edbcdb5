import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text

from app.accounts.models import Organisation, OrganisationFact
from app.bulk.service import delete_old_files
from app.catalog.models import ChipModel, Offer
from app.demand.models import ComputeRequest
from app.kit.db import SYSTEM
from app.kit.ids import new_id
from tests.bulk.conftest import BUYER, CHIP, HEADERS, OFFER, REQUEST, market, rows_of

pytestmark = pytest.mark.anyio


def codes(made) -> list[tuple[str, str]]:
    return [(bad["column"], bad["code"]) for bad in made["error"]["bad_rows"]]


async def hold(context, cards: int) -> None:
    """Reserve cards of the small market's offer for its request."""
    async with context.database.write(SYSTEM) as session:
        offer, request = await session.scalar(select(Offer)), await session.scalar(select(ComputeRequest))
        await session.execute(
            text(
                "INSERT INTO reservation (id, offer_id, request_id, block, buyer_org_id, supplier_org_id, cards,"
                " starts_at, ends_at, state, hold_ends_at, price_fen, cost_fen, subsidy_fen, net_fen, version)"
                " VALUES (:id, :offer, :request, 0, :buyer, :supplier, :cards, '2026-12-02T00:00Z',"
                " '2026-12-03T00:00Z', 'held', '2026-12-02T00:00Z', 850, 1, 0, 1, 1)"
            ),
            {
                "id": new_id(),
                "offer": offer.id,
                "request": request.id,
                "buyer": request.buyer_org_id,
                "supplier": offer.supplier_org_id,
                "cards": cards,
            },
        )


async def test_a_changed_row_needs_update(desk, send_import, send_export) -> None:
    await send_import(desk, market())
    changed = market(
        offers=[OFFER.replace("8.50", "8.40").replace(",64,", ",32,")],
        requests=[REQUEST.replace("36.5", "40")],
        buyers=[BUYER.replace("startup", "sme")],
    )
    refused = await send_import(desk, changed)
    found = {bad["file"]: bad["detail"] for bad in refused["error"]["bad_rows"]}
    assert {bad["code"] for bad in refused["error"]["bad_rows"]} == {"exists_differently"}
    assert "price_cny, cards" in found["offers.csv"]
    assert "hours" in found["requests.csv"]
    assert "kind" in found["buyers.csv"]
    assert all("--update" in detail and "--namespace NAME" in detail for detail in found.values())

    made = await send_import(desk, changed, update="true")
    assert [made["result"]["files"][f"{kind}.csv"]["changed"] for kind in ("offers", "requests", "buyers")] == [1, 1, 1]
    export = await send_export(desk, format="csv", what=["offers", "requests", "buyers"])
    assert rows_of(export["contents"]["offers.csv"])[0]["cards"] == "32"
    assert rows_of(export["contents"]["requests.csv"])[0]["hours"] == "40"
    assert rows_of(export["contents"]["buyers.csv"])[0]["kind"] == "sme"
    same = await send_import(desk, changed, update="true")
    assert all(counts["changed"] == 0 for counts in same["result"]["files"].values())


async def test_a_changed_fact_stands_beside_the_old_one(desk, send_import, context) -> None:
    await send_import(desk, market())
    await send_import(desk, market(buyers=[BUYER.replace("startup", "sme")]), update="true")
    async with context.database.read(SYSTEM) as session:
        rows = await session.execute(
            select(OrganisationFact.value, OrganisationFact.valid_from, OrganisationFact.verified_by)
            .where(OrganisationFact.key == "kind")
            .order_by(OrganisationFact.valid_from)
        )
        found = [(row.value["value"], str(row.valid_from), row.verified_by) for row in rows]
    assert found == [("startup", "2026-01-01", desk.org_id), ("sme", "2026-12-01", desk.org_id)]


async def test_what_is_reserved_is_never_undercut(desk, send_import, context) -> None:
    await send_import(desk, market())
    await hold(context, 40)
    lowered = await send_import(desk, market(offers=[OFFER.replace(",64,", ",39,")]), update="true")
    assert codes(lowered) == [("cards", "capacity_below_commitments")]
    elsewhere = await send_import(desk, market(offers=[OFFER.replace("北京", "上海")]), update="true")
    assert codes(elsewhere) == [("region", "offer_committed")]
    request = await send_import(desk, market(requests=[REQUEST.replace("36.5", "40")]), update="true")
    assert codes(request) == [("hours", "request_has_live_reservations")]
    enough = await send_import(desk, market(offers=[OFFER.replace(",64,", ",40,")]), update="true")
    assert enough["state"] == "succeeded", enough["error"]


async def test_what_was_withdrawn_stays_so(desk, send_import, send_export, context) -> None:
    await send_import(desk, market())
    async with context.database.write(SYSTEM) as session:
        await session.execute(text("UPDATE offer SET state = 'withdrawn'"))
        await session.execute(text("UPDATE request SET state = 'withdrawn'"))
    same = await send_import(desk, market())
    assert [notice["code"] for notice in same["result"]["notices"]] == ["is_withdrawn", "is_withdrawn"]
    changed = await send_import(
        desk, market(offers=[OFFER.replace("8.50", "8")], requests=[REQUEST.replace("36.5", "3")]), update="true"
    )
    assert [code for _, code in codes(changed)] == ["not_open", "not_open"]
    export = await send_export(desk, format="csv", what=["offers", "requests"])
    assert [file["rows"] for file in export["result"]["files"]] == [0, 0]


async def test_a_namespace_puts_a_market_beside_another(desk, send_import, send_export) -> None:
    await send_import(desk, market())
    other = market(offers=[OFFER.replace("8.50", "7.00")])
    made = await send_import(desk, other, namespace="second")
    assert made["state"] == "succeeded", made["error"]
    again = await send_import(desk, other, namespace="second")
    assert all(counts["unchanged"] == 1 for counts in again["result"]["files"].values())
    export = await send_export(desk, format="csv", what=["offers", "buyers"], namespace="second")
    (offer,) = rows_of(export["contents"]["offers.csv"])
    assert (offer["offer_ref"], offer["supplier"], offer["price_cny"]) == ("o1", "s1", "7.00")
    assert [row["buyer"] for row in rows_of(export["contents"]["buyers.csv"])] == ["b1"]
    everything = await send_export(desk, format="csv", what=["offers"])
    assert [row["offer_ref"] for row in rows_of(everything["contents"]["offers.csv"])] == ["o1", "second:o1"]


async def test_start_at_shifts_by_whole_hours(desk, send_import, send_export) -> None:
    early = REQUEST.replace("2026-12-01T00:00:07", "2026-11-30T23:59:59.000001")
    fields = {"start_at": "2027-01-01T00:00:00+08:00"}
    made = await send_import(desk, market(requests=[early]), **fields)
    assert made["state"] == "succeeded", made["error"]
    export = await send_export(desk, format="csv", what=["offers", "requests"])
    (request,) = rows_of(export["contents"]["requests.csv"])
    assert request["submitted_at"] == "2026-12-31T16:59:59.000001Z"
    assert rows_of(export["contents"]["offers.csv"])[0]["available_from"] == "2026-12-31T17:00:00Z"
    again = await send_import(desk, market(requests=[early]), **fields)
    assert all(counts["unchanged"] == 1 for counts in again["result"]["files"].values())
    far = await send_import(desk, market(), start_at="2199-12-31T00:00:00Z", namespace="far")
    assert {code for _, code in codes(far)} == {"out_of_range"}


async def test_the_catalogue_is_kept_unless_updated(desk, send_import, context) -> None:
    await send_import(desk, market())
    files = {"chips.csv": market(chips=[CHIP.replace("312", "300").replace(",80,", ",,")])["chips.csv"]}
    kept = await send_import(desk, files)
    (notice,) = kept["result"]["notices"]
    assert (notice["line"], notice["column"], notice["code"]) == (2, "fp16_tflops", "catalogue_differs")
    changed = await send_import(desk, files, update="true")
    assert changed["result"]["files"]["chips.csv"]["changed"] == 1
    async with context.database.read(SYSTEM) as session:
        chip = await session.get_one(ChipModel, "A100 80G")
        assert (chip.fp16_tflops, chip.memory_gb, chip.version) == (300, 80, 2)


async def test_a_dry_run_writes_nothing(desk, send_import, context) -> None:
    made = await send_import(desk, market(), dry_run="true")
    assert made["result"]["dry_run"]
    assert made["result"]["files"]["offers.csv"]["inserted"] == 1
    async with context.database.read(SYSTEM) as session:
        assert await session.scalar(select(func.count()).select_from(Offer)) == 0
        assert await session.scalar(select(func.count()).select_from(Organisation)) == 1


async def test_a_supplier_imports_and_exports_only_its_own(desk, make_actor, send_import, send_export) -> None:
    await send_import(desk, market())
    mine = await make_actor("supplier", ref="s2")
    offers = f"{HEADERS['offers']}\n{OFFER}\n{OFFER.replace('o1,s1', 'o2,s2')}\n".encode()
    refused = await send_import(mine, {"offers.csv": offers})
    assert codes(refused) == [("supplier", "not_yours")]
    made = await send_import(mine, {"offers.csv": offers}, skip_bad="true")
    assert made["result"]["files"]["offers.csv"] == {"inserted": 1, "changed": 0, "unchanged": 0, "skipped": 1}
    export = await send_export(mine, format="csv", what=["offers", "suppliers", "chips"])
    assert [row["offer_ref"] for row in rows_of(export["contents"]["offers.csv"])] == ["o2"]
    assert [row["supplier"] for row in rows_of(export["contents"]["suppliers.csv"])] == ["s2"]
    for name in ("requests.csv", "buyers.csv", "suppliers.csv", "chips.csv"):
        answer = await mine.client.post("/v1/imports", files=[("files", (name, b""))])
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    for what in ("requests", "buyers"):
        answer = await mine.client.post("/v1/exports", json={"format": "csv", "what": [what]})
        assert answer.status_code == 403


async def test_priority_is_the_desk_s(desk, make_actor, send_import, send_export) -> None:
    mine = await make_actor("buyer", ref="b1")
    await send_import(desk, market(buyers=[]) | {"requests.csv": market()["requests.csv"]})
    own = {"requests.csv": market()["requests.csv"]}
    assert (await send_import(mine, own))["result"]["files"]["requests.csv"]["unchanged"] == 1
    unsaid = {"requests.csv": own["requests.csv"].replace(b",9.00,3,", b",9.00,1,")}
    assert (await send_import(mine, unsaid))["result"]["files"]["requests.csv"]["unchanged"] == 1
    higher = {"requests.csv": own["requests.csv"].replace(b",9.00,3,", b",9.00,4,")}
    assert codes(await send_import(mine, higher, update="true")) == [("priority", "priority_by_desk_only")]
    changed = {"requests.csv": unsaid["requests.csv"].replace(b"36.5", b"37.5")}
    assert (await send_import(mine, changed, update="true"))["result"]["files"]["requests.csv"]["changed"] == 1
    export = await send_export(mine, format="csv", what=["requests"])
    (request,) = rows_of(export["contents"]["requests.csv"])
    assert (request["priority"], request["hours"]) == ("3", "37.5")


JSONL: dict[str, list[dict[str, Any]]] = {
    "offers.jsonl": [
        {
            "offer_ref": "o1",
            "supplier": "s1",
            "region": "=北京",
            "chip_model": "A100 80G",
            "cards_per_node": 8,
            "price_unit": "instance_month",
            "posted_fen_per_instance_month": 5_000_000,
            "listed_fen_per_instance_month": 6_000_000,
            "auto_accept": True,
            "capacity": [
                {"starts_at": "2026-12-01T00:00:00Z", "cards": 8},
                {"starts_at": "2026-12-05T00:00:00Z", "cards": 16},
                {"starts_at": "2027-01-01T00:00:00Z", "cards": 0},
            ],
        }
    ],
    "requests.jsonl": [
        {
            "request_ref": "r1",
            "buyer": "b1",
            "submitted_at": "2026-12-01T00:00:00.000001Z",
            "earliest_start": "2026-12-01T00:00:00Z",
            "deadline": "2026-12-09T00:00:00Z",
            "alternatives": [
                {"chips": "any", "cards": 8, "hours": 0.123456789012, "max_net_price_fen": 900, "min_memory_gb": 80},
                {"chips": "domestic", "cards": 16, "hours": 24, "max_net_price_fen": 700, "min_fp16_tflops": 300.5},
            ],
            "priority": 2,
            "blocks": 3,
            "min_blocks": 2,
            "regions": ["北京", "上海"],
            "suppliers_allowed": ["s1"],
            "suppliers_refused": ["s2"],
            "min_interconnect_gbps": 100,
            "min_cards_per_node": 8,
            "domestic": False,
        }
    ],
    "buyers.jsonl": [{"buyer": "b1", "name": "示例", "contact": "a@example.test", "kind": "sme"}],
    "suppliers.jsonl": [
        {"supplier": "s1", "name": "s1", "partner": False},
        {"supplier": "s2", "name": "s2", "city": "上海"},
    ],
    "chips.jsonl": [{"chip_model": "A100 80G", "fp16_tflops": 312.5, "domestic": False, "source": "a sheet"}],
}


def as_jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


async def test_json_lines_carry_everything(desk, send_import, send_export) -> None:
    files = {name: as_jsonl(rows) for name, rows in JSONL.items()}
    made = await send_import(desk, files)
    assert made["state"] == "succeeded", made["error"]
    kinds = [name.removesuffix(".jsonl") for name in files]
    export = await send_export(desk, format="jsonl", what=kinds)
    for name, rows in JSONL.items():
        assert [json.loads(line) for line in export["contents"][name].splitlines()] == rows
    again = await send_import(desk, export["contents"])
    assert all(counts["inserted"] + counts["changed"] == 0 for counts in again["result"]["files"].values())
    assert again["state"] == "succeeded"
    csv_export = await send_export(desk, format="csv", what=kinds)
    assert csv_export["error"]["code"] == "export_refused"
    assert [(bad["file"], bad["code"]) for bad in csv_export["error"]["bad_rows"]] == [
        ("offers.csv", "csv_cannot_carry"),
        ("requests.csv", "csv_cannot_carry"),
    ]


async def test_alternatives_that_differ_in_chips_are_joined_in_csv(desk, send_import, send_export) -> None:
    row = JSONL["requests.jsonl"][0]
    plain = {"cards": 8, "hours": 2, "max_net_price_fen": 900}
    bare = {name: row[name] for name in ("request_ref", "buyer", "submitted_at", "earliest_start", "deadline")}
    both = bare | {"alternatives": [{"chips": "A100 80G"} | plain, {"chips": "domestic"} | plain]}
    files = market() | {"requests.jsonl": as_jsonl([both])}
    files.pop("requests.csv")
    assert (await send_import(desk, files))["state"] == "succeeded"
    export = await send_export(desk, format="csv", what=["requests"])
    assert rows_of(export["contents"]["requests.csv"])[0]["chips"] == "A100 80G|domestic"
    again = await send_import(desk, export["contents"])
    assert again["result"]["files"]["requests.csv"]["unchanged"] == 1


LINES = [
    (b"[]", None, "not_an_object"),
    (b"{", None, "bad_json"),
    (b'{"buyer": NaN}', None, "bad_json"),
    (b'{"buyer": "a", "buyer": "b"}', None, "bad_json"),
    (b"[" * 100_000, None, "bad_json"),
    (b'{"buyer": ' + b"9" * 5_000 + b"}", None, "bad_json"),
    (b"{}", "buyer", "missing_column"),
    (b'{"buyer": "b", "org_id": 1}', "org_id", "unknown_column"),
    (b'{"buyer": "\\ud800"}', "buyer", "bad_text"),
    (b'{"buyer": "a\\u0000"}', "buyer", "bad_text"),
    (b'{"buyer": "b0", "prior_year_revenue_fen": 1.0}', "prior_year_revenue_fen", "not_whole"),
    (b'{"buyer": "b1", "prior_year_revenue_fen": true}', "prior_year_revenue_fen", "wrong_type"),
    (b'{"buyer": "b2", "prior_year_revenue_fen": 9223372036854775808}', "prior_year_revenue_fen", "out_of_range"),
    (b'{"buyer": "b3", "kind": 1}', "kind", "wrong_type"),
]


async def test_each_bad_line_is_named(desk, send_import) -> None:
    lines = [line for line, _, _ in LINES]
    made = await send_import(desk, {"buyers.jsonl": b"\xef\xbb\xbf" + b"\r\n\n".join(lines)})
    found = [(bad["line"], bad["column"], bad["code"]) for bad in made["error"]["bad_rows"]]
    assert found == [(1 + 2 * number, column, code) for number, (_, column, code) in enumerate(LINES)]


async def test_bad_offers_and_requests_in_json_lines(desk, send_import) -> None:
    offer, request = JSONL["offers.jsonl"][0], JSONL["requests.jsonl"][0]
    steps = offer["capacity"]
    offers = [
        offer | {"capacity": steps[:2]},
        offer | {"offer_ref": "o2", "capacity": [steps[1], steps[0], steps[2]]},
        offer | {"offer_ref": "o3", "price_fen": 1},
        offer | {"offer_ref": "o4", "posted_fen_per_instance_month": 10**15},
        offer | {"offer_ref": "o5", "capacity": [{"starts_at": "2026-12-01T00:30:00Z", "cards": 0}]},
    ]
    requests = [
        request | {"alternatives": []},
        request | {"request_ref": "r2", "suppliers_allowed": ["nobody"]},
        request | {"request_ref": "r3", "alternatives": [{"chips": "any"}]},
    ]
    rest = {name: as_jsonl(JSONL[name]) for name in ("buyers.jsonl", "suppliers.jsonl", "chips.jsonl")}
    made = await send_import(desk, rest | {"offers.jsonl": as_jsonl(offers), "requests.jsonl": as_jsonl(requests)})
    assert codes(made) == [
        ("capacity", "capacity_ends_at_zero"),
        ("capacity", "capacity_not_ascending"),
        ("price_unit", "price_one_way"),
        ("posted_fen_per_instance_month", "out_of_range"),
        ("capacity", "not_whole_hour"),
        ("alternatives", "required"),
        ("suppliers_allowed", "unknown_supplier"),
        ("alternatives", "missing_column"),
    ]


async def test_the_documented_examples_can_be_imported(desk, send_import) -> None:
    text = (Path(__file__).parents[2] / "docs" / "market-format.md").read_text("utf-8")
    for language in ("csv", "json"):
        kinds = ("offers", "requests", "buyers", "suppliers", "chips")
        blocks = [block.split("```")[0] for block in text.split(f"```{language}\n")[1:]]
        suffix = "csv" if language == "csv" else "jsonl"
        files = {f"{kind}.{suffix}": block.encode() for kind, block in zip(kinds, blocks, strict=True)}
        made = await send_import(desk, files, namespace=language)
        assert made["state"] == "succeeded", made["error"]


async def test_templates_can_be_imported(desk, send_import) -> None:
    files = {}
    for kind in HEADERS:
        answer = await desk.client.get(f"/v1/imports/templates/{kind}.csv")
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert answer.text.splitlines()[0] == HEADERS[kind]
        files[f"{kind}.csv"] = answer.content
    files["chips.csv"] += b"Ascend 910B,Huawei,280,64,true,A100-class\n"
    made = await send_import(desk, files)
    assert made["state"] == "succeeded", made["error"]
    assert (await desk.client.get("/v1/imports/templates/prices.csv")).status_code == 422


async def test_files_are_deleted_a_day_later(desk, send_import, send_export, worker_database, clock) -> None:
    await send_import(desk, market())
    export = await send_export(desk, format="csv", what=["offers"])
    url = export["result"]["files"][0]["url"]
    assert await delete_old_files(worker_database, clock()) == 0
    clock.advance(hours=24, seconds=1)
    assert (await desk.client.get(url)).status_code == 410
    assert await delete_old_files(worker_database, clock()) == 6
    answer = await desk.client.get(url)
    assert (answer.status_code, answer.json()["code"]) == (410, "file_gone")
    assert (await desk.client.get(url.replace("offers", "buyers"))).status_code == 404
