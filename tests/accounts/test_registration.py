import httpx
import pytest

pytestmark = pytest.mark.anyio


async def test_registration_waits_for_the_desk(http: httpx.AsyncClient, desk) -> None:
    made = await http.post("/v1/organisations", json={"name": "示例", "roles": ["buyer"], "ref": "startup-01"})
    assert made.status_code == 201
    organisation, key = made.json()["organisation"], made.json()["key"]
    assert organisation["state"] == "pending"
    signed = {"Authorization": f"Bearer {key['secret']}"}
    assert (await http.get("/v1/me", headers=signed)).json()["organisation"]["id"] == organisation["id"]
    refused = await http.get(f"/v1/organisations/{organisation['id']}", headers=signed)
    assert (refused.status_code, refused.json()["code"]) == (403, "organisation_not_approved")

    approved = await desk.client.post(f"/v1/organisations/{organisation['id']}/approve", json={})
    assert approved.json()["state"] == "approved"
    assert (await http.get(f"/v1/organisations/{organisation['id']}", headers=signed)).status_code == 200
    again = await desk.client.post(f"/v1/organisations/{organisation['id']}/approve", json={})
    assert (again.status_code, again.json()["code"]) == (409, "already_decided")
