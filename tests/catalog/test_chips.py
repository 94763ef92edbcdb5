import csv
from decimal import Decimal
from typing import Any

import pytest

from app.catalog import service
from app.catalog.selectors import ChipSelector, check_chip_name
from app.catalog.shipped import shipped_chips
from app.kit.db import SYSTEM
from tests.conftest import SHARED

pytestmark = pytest.mark.anyio
H100 = {
    "name": "H100",
    "vendor": "NVIDIA",
    "fp16_tflops": 989.4,
    "memory_gb": 80,
    "domestic": False,
    "chip_class": "H100-class",
    "source": "vendor datasheet",
}


@pytest.mark.skipif(not (SHARED / "data/chips.csv").exists(), reason="the shared folder with chips.csv is absent")
def test_the_shipped_catalogue_agrees_with_the_shared_facts() -> None:
    shipped = {chip.name: chip for chip in shipped_chips()}
    with (SHARED / "data/chips.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        chip = shipped[row["chip_model"]]
        assert chip.vendor == (row["vendor"] or None)
        assert chip.fp16_tflops == (Decimal(row["fp16_tflops"]) if row["fp16_tflops"] else None)
        assert chip.memory_gb == (Decimal(row["memory_gb"]) if row["memory_gb"] else None)
        assert chip.domestic == {"true": True, "false": False, "": None}[row["domestic"]]
        assert chip.chip_class == (row["class"] or None)
    assert len(rows) > 50


def test_the_shipped_catalogue_is_whole() -> None:
    shipped = shipped_chips()
    assert len(shipped) >= 60
    assert len({chip.name for chip in shipped}) == len(shipped)
    assert all(chip.source and chip.vendor and chip.domestic is not None for chip in shipped)
    for chip in shipped:
        check_chip_name(chip.name)
        assert ChipSelector.parse(chip.name).names == {chip.name}
    a100 = next(chip for chip in shipped if chip.name == "A100 80G")
    assert (a100.fp16_tflops, a100.memory_gb, a100.chip_class) == (312, 80, "A100-class")


async def test_the_catalogue_is_added_once_and_edits_stay(app_database, worker_database, desk) -> None:
    await desk.client.post("/v1/chips", json={"name": "H100", "memory_gb": 81})
    async with worker_database.write(SYSTEM) as session:
        added = await service.ensure_catalogue(session)
    assert len(added) == len(shipped_chips()) - 1
    assert "H100" not in added
    async with worker_database.write(SYSTEM) as session:
        assert await service.ensure_catalogue(session) == []
    assert (await desk.client.get("/v1/chips/H100")).json()["memory_gb"] == 81


async def test_a_chip_is_added_read_and_changed(desk, buyer) -> None:
    made = await desk.client.post("/v1/chips", json=H100 | {"name": "A100 80G", "fp16_tflops": 312.0})
    assert made.status_code == 201
    assert made.headers["location"] == "/v1/chips/A100%2080G"
    assert made.json() | {"created_at": ""} == H100 | {
        "name": "A100 80G",
        "fp16_tflops": 312,
        "version": 1,
        "created_at": "",
    }
    read = await buyer.client.get("/v1/chips/A100 80G")
    assert (read.json(), read.headers["etag"]) == (made.json(), '"1"')

    edit = {"domestic": None, "fp16_tflops": 311.8}
    url = "/v1/chips/A100 80G"
    assert (await desk.client.patch(url, json=edit)).json()["code"] == "if_match_required"
    changed = await desk.client.patch(url, json=edit, headers={"If-Match": '"1"'})
    assert (changed.json()["domestic"], changed.json()["fp16_tflops"]) == (None, 311.8)
    assert changed.json()["memory_gb"] == 80
    assert changed.headers["etag"] == '"2"'
    stale = await desk.client.patch(url, json=edit, headers={"If-Match": '"1"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "stale")


async def test_only_the_desk_writes_chips(buyer, supplier, desk, http) -> None:
    await desk.client.post("/v1/chips", json=H100)
    for actor in (buyer, supplier):
        assert (await actor.client.post("/v1/chips", json=H100)).status_code == 403
        refused = await actor.client.patch("/v1/chips/H100", json={}, headers={"If-Match": '"1"'})
        assert refused.status_code == 403
    for path in ("/v1/chips", "/v1/chips/H100", "/v1/chips/H100/conversion?cards=1"):
        assert (await http.get(path)).status_code == 401


@pytest.mark.parametrize("name", ["any", "domestic", "class:A100", "A|B", "A  B"])
async def test_names_that_selectors_need_are_refused(desk, name: str) -> None:
    refused = await desk.client.post("/v1/chips", json={"name": name})
    assert (refused.status_code, refused.json()["code"]) == (422, "chip_name")
    assert refused.json()["errors"][0]["pointer"] == "/name"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/name"),
        ({"name": ""}, "/name"),
        ({"name": "x" * 101}, "/name"),
        ({"name": "a\x00b"}, "/name"),
        ({"name": "X", "fp16_tflops": 0}, "/fp16_tflops"),
        ({"name": "X", "fp16_tflops": -1}, "/fp16_tflops"),
        ({"name": "X", "fp16_tflops": "312"}, "/fp16_tflops"),
        ({"name": "X", "fp16_tflops": True}, "/fp16_tflops"),
        ({"name": "X", "memory_gb": 0.0001}, "/memory_gb"),
        ({"name": "X", "memory_gb": 10**30}, "/memory_gb"),
        ({"name": "X", "domestic": "yes"}, "/domestic"),
        ({"name": "X", "chip_class": "a|b"}, "/chip_class"),
        ({"name": "X", "version": 3}, "/version"),
    ],
)
async def test_bad_chips_are_refused_at_the_field(desk, body: dict[str, Any], pointer: str) -> None:
    refused = await desk.client.post("/v1/chips", json=body)
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]


async def test_nan_is_no_speed(desk) -> None:
    refused = await desk.client.post(
        "/v1/chips", content='{"name": "X", "memory_gb": NaN}', headers={"Content-Type": "application/json"}
    )
    assert refused.status_code == 422


async def test_a_chip_twice_and_a_chip_that_is_not(desk) -> None:
    await desk.client.post("/v1/chips", json=H100)
    again = await desk.client.post("/v1/chips", json=H100)
    assert (again.status_code, again.json()["code"]) == (409, "chip_exists")
    for response in (
        await desk.client.get("/v1/chips/H200"),
        await desk.client.patch("/v1/chips/H200", json={}, headers={"If-Match": "*"}),
        await desk.client.get("/v1/chips/H200/conversion?cards=1"),
    ):
        assert (response.status_code, response.json()["code"]) == (404, "not_found")


async def test_chips_are_listed_by_name_filtered_and_paged(worker_database, app_database, buyer) -> None:
    async with worker_database.write(SYSTEM) as session:
        await service.ensure_catalogue(session)
    shipped = shipped_chips()

    async def names(**query: str) -> list[str]:
        found: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = (await buyer.client.get("/v1/chips", params={"limit": 10} | query | cursor)).json()
            found += [chip["name"] for chip in page["data"]]
            if not page["has_more"]:
                return found
            cursor = {"after": page["next_cursor"]}

    assert sorted(await names()) == sorted(chip.name for chip in shipped)
    assert set(await names(vendor="Huawei")) == {chip.name for chip in shipped if chip.vendor == "Huawei"}
    assert set(await names(chip_class="H100-class", domestic="true")) == {"Ascend 910C"}
    wanted = {"memory_gb[gte]": "100", "fp16_tflops[gte]": "1000.5"}
    assert set(await names(**wanted)) == {
        chip.name for chip in shipped if (chip.memory_gb or 0) >= 100 and (chip.fp16_tflops or 0) >= Decimal("1000.5")
    }
    page = await buyer.client.get("/v1/chips", params=wanted)
    assert page.json()["query"] == {
        "vendor": None,
        "chip_class": None,
        "domestic": None,
        "memory_gb[gte]": 100,
        "fp16_tflops[gte]": 1000.5,
        "limit": 20,
    }
    unknown = await buyer.client.get("/v1/chips?memory[gte]=3")
    assert (unknown.status_code, unknown.json()["errors"][0]["pointer"]) == (422, "memory[gte]")
    assert (await buyer.client.get("/v1/chips?vendor=%00")).status_code == 422
    assert (await buyer.client.get("/v1/chips/%00")).status_code == 422


async def test_petaflops_and_cards(desk, buyer) -> None:
    await desk.client.post("/v1/chips", json=H100 | {"name": "A100 80G", "fp16_tflops": 312})
    await desk.client.post("/v1/chips", json={"name": "S60"})
    url = "/v1/chips/A100 80G/conversion"
    assert (await buyer.client.get(url, params={"petaflops": "1"})).json() == {
        "chip_model": "A100 80G",
        "fp16_tflops": 312,
        "cards": 4,
        "petaflops": 1,
        "cards_petaflops": 1.248,
    }
    back = await buyer.client.get(url, params={"cards": 125})
    assert (back.json()["petaflops"], back.json()["cards"]) == (39, 125)
    for params in ({}, {"cards": 1, "petaflops": 1}):
        refused = await buyer.client.get(url, params=params)
        assert (refused.status_code, refused.json()["code"]) == (422, "one_quantity_only")
    for params in ({"cards": 0}, {"cards": "1.5"}, {"petaflops": 0}, {"petaflops": "nan"}, {"petaflops": "1e9"}):
        assert (await buyer.client.get(url, params=params)).status_code == 422
    unknown = await buyer.client.get("/v1/chips/S60/conversion?cards=8")
    assert (unknown.status_code, unknown.json()["code"]) == (409, "fp16_speed_unknown")


async def test_a_name_may_hold_a_slash(desk) -> None:
    made = await desk.client.post("/v1/chips", json=H100 | {"name": "A100/80G"})
    assert (await desk.client.get(made.headers["location"])).json()["name"] == "A100/80G"
    assert (await desk.client.get("/v1/chips/A100/80G/conversion?cards=1")).json()["cards"] == 1
