"""A contract is made with the confirmation, shown to its sides alone, and has its documents."""

import hashlib
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.kit.db import Database, Scope
from app.kit.ids import new_id
from tests.bazaar import keyed, refusal
from tests.conftest import MakeActor
from tests.contracts.bureau import COST, Bureau

pytestmark = pytest.mark.anyio
PDF = b"%PDF-1.7\n%\xe4\xbd\xa0\n1 0 obj\n"
PNG = b"\x89PNG\r\n\x1a\n0000"


async def test_a_hold_has_no_contract_and_its_confirmation_makes_one(bureau: Bureau) -> None:
    held = await bureau.hold()
    client = bureau.bazaar.buyer.client
    assert (await client.get("/v1/contracts", params={"reservation_id": held["id"]})).json()["data"] == []
    done = await bureau.bazaar.confirm(held)
    contract = await bureau.contract(done)
    told = {name: contract[name] for name in ("cards", "starts_at", "ends_at", "price_fen", "amount_fen", "payment")}
    assert told == {
        "cards": 4,
        "starts_at": held["starts_at"],
        "ends_at": held["ends_at"],
        "price_fen": 850,
        "amount_fen": COST,
        "payment": "arrears",
    }
    assert contract["items"] == [{"kind": "compute", "amount_fen": COST}]
    assert (contract["domestic"], contract["applications"], contract["evaluation"]) == (False, [], None)


async def test_accepting_again_makes_no_second_contract(bureau: Bureau) -> None:
    done = await bureau.confirmed()
    again = await bureau.bazaar.turn(bureau.bazaar.buyer, done, "accept")
    assert again.status_code == 200
    await bureau.contract(done)  # of which there is one


async def test_both_sides_see_it_and_nobody_else(bureau: Bureau, make_actor: MakeActor) -> None:
    done = await bureau.confirmed()
    contract = await bureau.contract(done, by=bureau.bazaar.supplier)
    stranger = await make_actor("buyer", "supplier")
    for path in ("", "/documents", "/generated-document"):
        answer = await stranger.client.get(f"/v1/contracts/{contract['id']}{path}")
        assert refusal(answer) == (404, "not_found")
    assert (await stranger.client.get("/v1/contracts")).json()["data"] == []
    upload = await stranger.client.post(
        f"/v1/contracts/{contract['id']}/documents", files={"file": ("a.pdf", PDF)}, headers=keyed()
    )
    assert refusal(upload) == (404, "not_found")


async def test_when_it_is_paid_for_is_said_before_it_begins(bureau: Bureau) -> None:
    done = await bureau.confirmed()
    contract = await bureau.contract(done)
    path, match = f"/v1/contracts/{contract['id']}", {"If-Match": '"1"'}
    bazaar = bureau.bazaar
    assert refusal(await bazaar.buyer.client.patch(path, json={"payment": "prepaid"}, headers=match))[0] == 403
    set_ = await bazaar.supplier.client.patch(path, json={"payment": "prepaid"}, headers=match)
    assert (set_.status_code, set_.json()["payment"], set_.headers["etag"]) == (200, "prepaid", '"2"')
    assert refusal(await bazaar.supplier.client.patch(path, json={"payment": "later"}, headers=match))[0] == 422
    stale = await bazaar.supplier.client.patch(path, json={"payment": "arrears"}, headers=match)
    assert refusal(stale) == (412, "stale")
    bazaar.clock.advance(hours=1)
    await bazaar.sweep()
    late = await bazaar.supplier.client.patch(path, json={"payment": "arrears"}, headers={"If-Match": '"2"'})
    assert refusal(late) == (409, "payment_fixed")


async def test_the_generated_document_is_always_the_same(bureau: Bureau) -> None:
    done = await bureau.confirmed()
    contract = await bureau.contract(done)
    path = f"/v1/contracts/{contract['id']}/generated-document"
    first = await bureau.bazaar.buyer.client.get(path)
    assert first.headers["content-type"] == "text/html; charset=utf-8"
    assert "sandbox" in first.headers["content-security-policy"]
    for words in (
        "算力服务合同",
        "Compute service contract",
        contract["id"],
        "340.00",
        "A100 80G",
        "buyer",
        "supplier",
    ):
        assert words in first.text
    # Longer by an extension, the contract is still what was signed.
    await bureau.bazaar.turn(bureau.bazaar.buyer, done, "extend", {"hours": 5})
    second = await bureau.bazaar.supplier.client.get(path)
    assert second.content == first.content


async def test_names_are_escaped(bureau: Bureau, app_database: Database) -> None:
    async with app_database.write(Scope("system")) as session:
        await session.execute(text("UPDATE organisation SET name = '<script>' WHERE name = 'supplier'"))
    contract = await bureau.contract(await bureau.confirmed())
    page = (await bureau.bazaar.buyer.client.get(f"/v1/contracts/{contract['id']}/generated-document")).text
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("content", "media_type"), [(PDF, "application/pdf"), (PNG, "image/png"), (b"\xff\xd8\xff\xe0", "image/jpeg")]
)
async def test_a_document_is_stored_with_its_hash_and_comes_back(
    bureau: Bureau, content: bytes, media_type: str
) -> None:
    contract = await bureau.contract(await bureau.confirmed())
    path = f"/v1/contracts/{contract['id']}/documents"
    sent = await bureau.bazaar.supplier.client.post(
        path, files={"file": ("C:\\合同 1.pdf", content)}, data={"kind": "invoice"}, headers=keyed()
    )
    assert sent.status_code == 201, sent.text
    made = sent.json()
    assert (made["name"], made["kind"], made["media_type"], made["size_bytes"]) == (
        "合同 1.pdf",
        "invoice",
        media_type,
        len(content),
    )
    assert made["sha256"] == hashlib.sha256(content).hexdigest()
    assert (await bureau.bazaar.buyer.client.get(path)).json()["data"] == [made]
    got = await bureau.bazaar.buyer.client.get(sent.headers["location"])
    assert (got.content, got.headers["content-type"]) == (content, media_type)
    assert got.headers["content-disposition"].startswith("attachment;")
    assert got.headers["x-content-type-options"] == "nosniff"


async def test_a_repeated_upload_is_stored_once(bureau: Bureau) -> None:
    contract = await bureau.contract(await bureau.confirmed())
    path, key = f"/v1/contracts/{contract['id']}/documents", keyed()
    first, again, other = [
        await bureau.bazaar.buyer.client.post(path, files={"file": ("a.pdf", content)}, headers=key)
        for content in (PDF, PDF, PDF + b"x")
    ]
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert refusal(other) == (422, "idempotency_key_reused")
    assert len((await bureau.bazaar.buyer.client.get(path)).json()["data"]) == 1


@pytest.mark.parametrize(
    ("files", "data", "wanted"),
    [
        ({"file": ("a.html", b"<script>alert(1)</script>")}, {}, (422, "document_type")),
        ({"file": ("a.pdf", b"PK\x03\x04")}, {}, (422, "document_type")),
        ({"file": ("a.pdf", b"")}, {}, (422, "document_type")),
        ({"file": ("a.pdf", PDF)}, {"kind": "gift"}, (422, "form_value")),
        ({"other": ("a.pdf", PDF)}, {}, (422, "unknown_form_field")),
        ({"file": ("a.pdf", PDF)}, {"state": "approved"}, (422, "unknown_form_field")),
        ({"file": ("x" * 201 + ".pdf", PDF)}, {}, (422, "document_name")),
        ([("file", ("a.pdf", PDF)), ("file", ("b.pdf", PDF))], {}, (422, "one_file")),
        ({"file": ("a.pdf", PDF + b"x" * (10 * 1024 * 1024 + 66_000))}, {}, (413, "upload_too_large")),
    ],
)
async def test_what_is_no_document_is_refused(bureau: Bureau, files: Any, data: Any, wanted: tuple[int, str]) -> None:
    contract = await bureau.contract(await bureau.confirmed())
    path = f"/v1/contracts/{contract['id']}/documents"
    sent = await bureau.bazaar.buyer.client.post(path, files=files, data=data, headers=keyed())
    assert refusal(sent) == wanted
    assert (await bureau.bazaar.buyer.client.get(path)).json()["data"] == []


async def test_what_is_no_form_is_refused(bureau: Bureau) -> None:
    contract = await bureau.contract(await bureau.confirmed())
    path = f"/v1/contracts/{contract['id']}/documents"
    sent = await bureau.bazaar.buyer.client.post(
        path, content=PDF, headers=keyed(**{"Content-Type": "application/pdf"})
    )
    assert refusal(sent) == (415, "not_multipart")
    huge = await bureau.bazaar.buyer.client.post(
        path,
        content=b"--x\r\n",
        headers=keyed(**{"Content-Type": "multipart/form-data; boundary=x", "Content-Length": "999999999"}),
    )
    assert refusal(huge) == (413, "upload_too_large")


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM contract",
        "UPDATE contract SET amount_fen = 1",
        "UPDATE contract_item SET amount_fen = 1",
        "UPDATE document SET name = 'x'",
        "DELETE FROM voucher_application",
        "INSERT INTO voucher_journal (voucher_id, state, amount_fen) VALUES (gen_random_uuid(), 'issued', 1)",
        "UPDATE evaluation SET score = 100",
        "UPDATE voucher SET amount_fen = 1",
    ],
)
async def test_nobody_may_rewrite_what_is_on_record(app_database: Database, statement: str) -> None:
    with pytest.raises(DBAPIError, match="permission denied"):
        async with app_database.write(Scope("desk", new_id())) as session:
            await session.execute(text(statement))
