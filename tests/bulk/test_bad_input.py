import pytest

from app.bulk.errors import sentence
from app.bulk.market import read_market
from app.bulk.plan import Existing, Importer, make_plan
from app.bulk.progress import Progress
from tests.bulk.conftest import BUYER, CHIP, HEADERS, OFFER, REQUEST, market

pytestmark = pytest.mark.anyio


def replaced(row: str, column: str, kind: str, cell: str) -> str:
    cells = row.split(",")
    cells[HEADERS[kind].split(",").index(column)] = cell
    return ",".join(cells)


CELLS = [
    ("offers", OFFER, "cards", "-1", "out_of_range"),
    ("offers", OFFER, "cards", "0", "out_of_range"),
    ("offers", OFFER, "cards", "2.5", "not_whole"),
    ("offers", OFFER, "cards", "many", "not_a_number"),
    ("offers", OFFER, "cards", "", "required"),
    ("offers", OFFER, "cards", "100001", "out_of_range"),
    ("offers", OFFER, "cards", "9" * 30, "out_of_range"),
    ("offers", OFFER, "cards", "٣", "not_a_number"),
    ("offers", OFFER, "price_cny", "8.501", "too_precise"),
    ("offers", OFFER, "price_cny", "8.500", "too_precise"),
    ("offers", OFFER, "price_cny", "-8.50", "out_of_range"),
    ("offers", OFFER, "price_cny", "1000001", "out_of_range"),
    ("offers", OFFER, "price_cny", "NaN", "not_a_number"),
    ("offers", OFFER, "list_price_cny", "free", "not_a_number"),
    ("offers", OFFER, "chip_model", "X999", "unknown_chip"),
    ("offers", OFFER, "chip_model", "any", "bad_chip_name"),
    ("offers", OFFER, "supplier", "nobody", "unknown_supplier"),
    ("offers", OFFER, "offer_ref", "", "required"),
    ("offers", OFFER, "offer_ref", "x" * 121, "too_long"),
    ("offers", OFFER, "offer_ref", " o1", "bad_reference"),
    ("offers", OFFER, "region", "\x00", "bad_text"),
    ("offers", OFFER, "available_from", "2026-12-01T00:00:00", "naive_time"),
    ("offers", OFFER, "available_from", "2026-12-01", "naive_time"),
    ("offers", OFFER, "available_from", "2026-12-01T00:30:00+08:00", "not_whole_hour"),
    ("offers", OFFER, "available_from", "2026-12-01T00:00:00+05:30", "not_whole_hour"),
    ("offers", OFFER, "available_to", "2026-11-01T00:00:00+08:00", "window_ends_before_start"),
    ("offers", OFFER, "available_to", "tomorrow", "not_a_time"),
    ("offers", OFFER, "available_to", "9999-12-31T23:59:59-23:00", "out_of_range"),
    ("offers", OFFER, "interconnect_gbps", "-1", "out_of_range"),
    ("requests", REQUEST, "buyer", "nobody", "unknown_buyer"),
    ("requests", REQUEST, "hours", "0", "not_positive"),
    ("requests", REQUEST, "hours", "-3", "not_positive"),
    ("requests", REQUEST, "hours", "20000.1", "out_of_range"),
    ("requests", REQUEST, "hours", "1e9", "out_of_range"),
    ("requests", REQUEST, "hours", "0.0000000000001", "too_precise"),
    ("requests", REQUEST, "hours", "Infinity", "not_a_number"),
    ("requests", REQUEST, "chips", "class:none", "unknown_chip"),
    ("requests", REQUEST, "chips", "A100 80G|X999", "unknown_chip"),
    ("requests", REQUEST, "chips", "any||domestic", "bad_selector"),
    ("requests", REQUEST, "deadline", "2026-12-01T00:00:07+08:00", "window_ends_before_start"),
    ("requests", REQUEST, "deadline", "2026-12-09T09:30:00.1234567+08:00", "too_precise"),
    ("requests", REQUEST, "submitted_at", "2026-12-01T24:00:61Z", "not_a_time"),
    ("requests", REQUEST, "min_blocks", "3", "min_blocks_above_blocks"),
    ("requests", REQUEST, "blocks", "1001", "out_of_range"),
    ("requests", REQUEST, "priority", "0", "out_of_range"),
    ("requests", REQUEST, "priority", "1.5", "not_whole"),
    ("requests", REQUEST, "max_net_price_cny", "9.001", "too_precise"),
    ("buyers", BUYER, "kind", "baker", "not_a_choice"),
    ("buyers", BUYER, "prior_year_revenue_cny", "-1", "out_of_range"),
    ("buyers", BUYER, "integrity", "so-so", "not_a_choice"),
    ("chips", CHIP, "memory_gb", "0", "not_positive"),
    ("chips", CHIP, "fp16_tflops", "1.2345", "too_precise"),
    ("chips", CHIP, "domestic", "yes", "not_a_choice"),
]


@pytest.mark.parametrize(("kind", "row", "column", "cell", "code"), CELLS)
def test_a_bad_cell_is_named(kind, row, column, cell, code) -> None:
    files = market(**{kind: [replaced(row, column, kind, cell)]})
    plan = make_plan(read_market(files, Progress()), Existing(), Importer(is_desk=True), update=False, skip_bad=False)
    assert [(bad.file, bad.line, bad.column, bad.code) for bad in plan.bad] == [(f"{kind}.csv", 2, column, code)]
    for language in ("en", "zh-CN"):
        assert sentence(plan.bad[0].code, plan.bad[0].params, language)


async def test_a_bad_row_is_told_and_nothing_is_written(desk, send_import) -> None:
    files = market(requests=[REQUEST, replaced(REQUEST, "buyer", "requests", "no\x00body")])
    made = await send_import(desk, files)
    assert (made["state"], made["result"], made["error"]["code"]) == ("failed", None, "bad_rows")
    found = [(bad["file"], bad["line"], bad["column"], bad["code"]) for bad in made["error"]["bad_rows"]]
    assert found == [
        ("requests.csv", 3, "request_ref", "duplicate_reference"),
        ("requests.csv", 3, "buyer", "bad_text"),
    ]
    again = await send_import(desk, market())
    assert {name: counts["inserted"] for name, counts in again["result"]["files"].items()} == dict.fromkeys(files, 1)


BROKEN = 'o0,s1,"two\nlines",A100 80G,x' + OFFER.split("A100 80G,64")[1]
FILES = [
    (b"\xff" + market()["offers.csv"], [(1, None, "not_utf8")]),
    (market()["offers.csv"].decode().encode("utf-16"), [(1, None, "not_utf8")]),
    (market()["offers.csv"].replace("北京".encode(), "北京".encode("gbk")), [(2, None, "not_utf8")]),
    (b"", [(1, None, "empty_file")]),
    (market()["offers.csv"].replace(b"region", b"zone"), [
        (1, "region", "missing_column"), (1, "zone", "unknown_column"),
    ]),
    (market()["offers.csv"].replace(b"cards_per_node", b"cards"), [
        (1, "cards", "duplicate_column"), (1, "cards_per_node", "missing_column"),
    ]),
    (market()["offers.csv"] + b"o2,s1\n", [(3, None, "cell_count")]),
    (market(offers=[OFFER, OFFER])["offers.csv"], [(3, "offer_ref", "duplicate_reference")]),
    (market()["offers.csv"] + b'"o2,s1\n', [(3, None, "bad_csv")]),
    (market(offers=[BROKEN, OFFER.replace("64", "y")])["offers.csv"], [
        (2, "cards", "not_a_number"), (4, "cards", "not_a_number"),
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("content", "wanted"), FILES)
async def test_a_bad_file_is_named(content, wanted, desk, send_import) -> None:
    made = await send_import(desk, market() | {"offers.csv": content})
    found = [(bad["line"], bad["column"], bad["code"]) for bad in made["error"]["bad_rows"]]
    assert sorted(found, key=str) == sorted(wanted, key=str)


async def test_crlf_bom_and_column_order_are_accepted(desk, send_import) -> None:
    files = {name: b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n") for name, content in market().items()}
    files["suppliers.csv"] = "partner,city,supplier\r\nyes,上海,s1\r\n\r\n".encode()
    made = await send_import(desk, files)
    assert made["state"] == "succeeded", made
    again = await send_import(desk, market())
    assert all(counts["unchanged"] == 1 for counts in again["result"]["files"].values())


async def test_a_window_too_short_for_its_hours_is_valid(desk, send_import) -> None:
    row = replaced(REQUEST, "deadline", "requests", "2026-12-01T01:00:00+08:00")
    assert (await send_import(desk, market(requests=[row])))["state"] == "succeeded"


async def test_a_request_larger_than_any_offer_is_taken_and_told(desk, send_import) -> None:
    made = await send_import(desk, market(requests=[replaced(REQUEST, "cards", "requests", "65")]))
    assert made["state"] == "succeeded"
    assert [notice["code"] for notice in made["result"]["notices"]] == ["larger_than_any_offer"]


async def test_every_bad_row_is_told_and_the_report_is_capped(desk, send_import) -> None:
    rows = [replaced(REQUEST, "cards", "requests", "x").replace("r1", f"r{n}") for n in range(1_200)]
    error = (await send_import(desk, market(requests=rows)))["error"]
    assert (len(error["bad_rows"]), error["more_bad_rows"]) == (1_000, 200)
    assert [bad["line"] for bad in error["bad_rows"]] == list(range(2, 1_002))


async def test_skip_bad_keeps_the_good_rows_and_drops_what_depends_on_bad_ones(desk, send_import) -> None:
    buyers = [BUYER, BUYER.replace("b1", "b2").replace("startup", "baker")]
    requests = [
        REQUEST,
        REQUEST.replace("r1,b1", "r2,b2"),
        replaced(REQUEST, "hours", "requests", "x").replace("r1", "r3"),
    ]
    made = await send_import(desk, market(buyers=buyers, requests=requests), skip_bad="true")
    assert made["state"] == "succeeded"
    result = made["result"]
    assert result["files"]["requests.csv"] == {"inserted": 1, "changed": 0, "unchanged": 0, "skipped": 2}
    assert [(bad["file"], bad["line"], bad["code"]) for bad in result["bad_rows"]] == [
        ("buyers.csv", 3, "not_a_choice"),
        ("requests.csv", 3, "depends_on_bad_row"),
        ("requests.csv", 4, "not_a_number"),
    ]


async def test_skip_bad_does_not_save_an_unreadable_file(desk, send_import) -> None:
    made = await send_import(desk, market() | {"offers.csv": b"\xff"}, skip_bad="true")
    assert made["state"] == "failed"


async def test_messages_come_in_chinese(desk, send_import) -> None:
    desk.client.headers["Accept-Language"] = "zh-CN"
    made = await send_import(desk, market(offers=[replaced(OFFER, "cards", "offers", "2.5")]))
    assert made["error"]["bad_rows"][0]["detail"] == "2.5 不是整数。"


FORMS = [
    ([], {}, "no_files"),
    ([("files", ("offers.txt", b"x"))], {}, "unknown_file"),
    ([("files", ("offers.csv", b"x")), ("files", ("offers.jsonl", b"x"))], {}, "repeated_file"),
    ([("other", ("offers.csv", b"x"))], {}, "unknown_form_field"),
    ([("files", ("offers.csv", b"x"))], {"state": "done"}, "unknown_form_field"),
    ([("files", ("offers.csv", b"x"))], {"update": "yes"}, "form_value"),
    ([("files", ("offers.csv", b"x"))], {"start_at": "2026-12-01T00:00:00"}, "form_value"),
    ([("files", ("offers.csv", b"x"))], {"start_at": "2026-12-01T00:30:00Z"}, "form_value"),
    ([("files", ("offers.csv", b"x"))], {"namespace": "a:b"}, "form_value"),
]


@pytest.mark.parametrize(("files", "fields", "code"), FORMS)
async def test_a_bad_form_is_refused(files, fields, code, desk) -> None:
    parts = files or [("skip_bad", (None, "true"))]
    answer = await desk.client.post("/v1/imports", files=parts, data=fields)
    assert answer.status_code == 422
    assert [error["code"] for error in answer.json()["errors"]] == [code]


async def test_what_is_no_form_or_too_large_is_refused(desk, monkeypatch) -> None:
    assert (await desk.client.post("/v1/imports", json={})).status_code == 415
    broken = await desk.client.post(
        "/v1/imports", content=b"junk", headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert broken.status_code in (400, 422)
    assert (
        await desk.client.post("/v1/imports", content=b"x", headers={"Content-Type": "multipart/form-data"})
    ).status_code == 400
    monkeypatch.setattr("app.bulk.upload.MAX_BYTES", 1_000)

    async def chunks():
        yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="offers.csv"\r\n\r\n'
        for _ in range(100):
            yield b"x" * 100

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    chunked = await desk.client.post("/v1/imports", content=chunks(), headers=headers)
    assert (chunked.status_code, chunked.json()["code"]) == (413, "upload_too_large")
    files = [("files", ("offers.csv", b"x" * 2_000))]
    assert (await desk.client.post("/v1/imports", files=files)).status_code == 413
