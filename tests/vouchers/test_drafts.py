"""Drafts of programmes over the API: made, changed, deleted, published, explained and simulated."""

from typing import Any

import pytest

from tests.bazaar import keyed, refusal
from tests.conftest import Actor, MakeActor
from tests.grants import TOML

pytestmark = pytest.mark.anyio
SECOND = TOML.replace("version = 1", "version = 2")


@pytest.fixture
async def desk(make_actor: MakeActor) -> Actor:
    return await make_actor("desk")


async def draft(desk: Actor, toml: str) -> Any:
    return await desk.client.post("/v1/programmes", json={"toml": toml})


async def publish(desk: Actor, version: int, etag: str = "*", programme: str = "made-up") -> Any:
    return await desk.client.post(
        f"/v1/programmes/{programme}/publish", json={"version": version}, headers=keyed(**{"If-Match": etag})
    )


async def test_a_draft_is_changed_published_and_then_stays(desk: Actor, make_actor: MakeActor) -> None:
    buyer = await make_actor("buyer")
    made = await draft(desk, TOML)
    assert made.status_code == 201, made.text
    assert made.headers["Location"] == "/v1/programmes/made-up/versions/1"
    assert (made.json()["state"], made.headers["ETag"]) == ("draft", '"1"')
    path = "/v1/programmes/made-up/versions/1"
    # Nobody but the desk and auditors sees a draft.
    assert (await buyer.client.get(path)).status_code == 404
    assert (await buyer.client.get("/v1/programmes/made-up/versions")).status_code == 404
    changed = TOML.replace('rate = "0.5"', 'rate = "0.4"')
    assert refusal(await desk.client.put(path, json={"toml": changed})) == (428, "if_match_required")
    stale = await desk.client.put(path, json={"toml": changed}, headers={"If-Match": '"7"'})
    assert refusal(stale) == (412, "stale")
    done = await desk.client.put(path, json={"toml": changed}, headers={"If-Match": '"1"'})
    assert (done.status_code, done.headers["ETag"], done.json()["toml"]) == (200, '"2"', changed)
    out = await publish(desk, 1, '"2"')
    assert (out.status_code, out.json()["state"]) == (200, "published")
    assert (await buyer.client.get(path)).json()["toml"] == changed
    again = await desk.client.put(path, json={"toml": TOML}, headers={"If-Match": "*"})
    assert refusal(again) == (409, "programme_published")
    assert refusal(await desk.client.delete(path, headers={"If-Match": "*"})) == (409, "programme_published")
    assert refusal(await publish(desk, 1)) == (409, "programme_published")


async def test_versions_go_up_and_are_listed_newest_first(desk: Actor, make_actor: MakeActor) -> None:
    auditor = await make_actor("auditor")
    for toml in (TOML, SECOND):
        assert (await draft(desk, toml)).status_code == 201
    assert refusal(await draft(desk, SECOND)) == (409, "programme_version_exists")
    listed = (await auditor.client.get("/v1/programmes/made-up/versions")).json()["data"]
    assert [(row["version"], row["state"]) for row in listed] == [(2, "draft"), (1, "draft")]
    assert (await publish(desk, 2)).status_code == 200
    assert refusal(await publish(desk, 1)) == (409, "programme_version_older")
    path = "/v1/programmes/made-up/versions/1"
    assert (await desk.client.delete(path, headers={"If-Match": '"1"'})).status_code == 204
    assert (await desk.client.get(path)).status_code == 404
    assert refusal(await draft(desk, TOML)) == (409, "programme_version_older")


async def test_faults_of_a_file_are_told_by_line_and_key(desk: Actor) -> None:
    wrong = TOML.replace('rate = "0.5"', "rate = 0.5").replace('buyer_year_cny = "300"', 'buyer_year_cny = "300.001"')
    told = await draft(desk, wrong)
    assert refusal(told) == (422, "programme_file")
    lines = wrong.splitlines()
    places = [error["detail"].split(":")[0] for error in told.json()["errors"]]
    cap, rate = (lines.index(line) + 1 for line in ('buyer_year_cny = "300.001"', "rate = 0.5"))
    assert places == [f"line {cap}, buyer_year_cny", f"line {rate}, tiers.0.rate"]
    assert refusal(await draft(desk, "id = ")) == (422, "programme_file")
    assert refusal(await draft(desk, "")) == (422, "invalid")


async def test_a_draft_keeps_its_programme_and_version(desk: Actor) -> None:
    assert (await draft(desk, TOML)).status_code == 201
    for other in (SECOND, TOML.replace('"made-up"', '"another"')):
        answer = await desk.client.put(
            "/v1/programmes/made-up/versions/1", json={"toml": other}, headers={"If-Match": "*"}
        )
        assert refusal(answer) == (422, "other_programme")
    missing = await desk.client.put("/v1/programmes/made-up/versions/9", json={"toml": TOML}, headers={"If-Match": "*"})
    assert refusal(missing) == (404, "not_found")


async def test_drafting_is_the_desks_alone(make_actor: MakeActor) -> None:
    for role in ("buyer", "supplier", "auditor"):
        actor = await make_actor(role)
        assert refusal(await draft(actor, TOML)) == (403, "forbidden")
        assert refusal(await publish(actor, 1)) == (403, "forbidden")
