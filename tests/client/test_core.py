"""What the client does with answers that come, and with those that don't."""

import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.client import ApiError, AsyncClient, Client, ServiceUnreachable
from app.client.core import Call, Read, etag_of, id_of, query_pairs, retry_after
from app.client.transport import Reply
from tests.client.scripted import Answer, Script, problem, serve

KEYED = Call[object]("POST", "/v1/offers", json={"cards": 1}, keyed=True)
PLAIN = Call[object]("POST", "/v1/keys", json={"label": "ci"})
OK = Answer(200, {"id": "x"})


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits are noted, not waited."""
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    return waited


def run(url: str, call: Call[object], tries: int = 4):
    with Client(url, "chk_x", tries=tries, timeout_seconds=5) as client:
        return client.keys.runner.run(call.flow(tries))


def test_a_keyed_write_is_repeated_with_one_and_the_same_key(naps: list[float]) -> None:
    script = Script(Answer(drop=True), problem(503, "database_unavailable", Retry_After="2"), OK)
    with serve(script) as url:
        assert run(url, KEYED) == {"id": "x"}
    keys = {seen.headers["idempotency-key"] for seen in script.seen}
    assert (len(script.seen), len(keys)) == (3, 1)
    assert naps[-1] >= 2.0


def test_two_writes_have_two_keys(naps: list[float]) -> None:
    script = Script(OK)
    with serve(script) as url:
        run(url, KEYED)
        run(url, KEYED)
    assert len({seen.headers["idempotency-key"] for seen in script.seen}) == 2


@pytest.mark.parametrize("answer", [Answer(drop=True), problem(503, "database_unavailable"), problem(429, "slow")])
def test_a_write_that_could_act_twice_is_sent_once(answer: Answer, naps: list[float]) -> None:
    script = Script(answer)
    with serve(script) as url, pytest.raises((ApiError, ServiceUnreachable)):
        run(url, PLAIN)
    assert (len(script.seen), naps) == (1, [])


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_read_is_tried_again_while_the_service_is_busy(status: int, naps: list[float]) -> None:
    script = Script(problem(status, "busy"), problem(status, "busy"), OK)
    with serve(script) as url:
        assert run(url, Call("GET", "/v1/me")) == {"id": "x"}
    assert len(script.seen) == 3


def test_it_gives_up_after_its_tries_and_says_what_the_service_said(naps: list[float]) -> None:
    script = Script(problem(503, "database_unavailable"))
    with serve(script) as url, pytest.raises(ApiError) as told:
        run(url, KEYED, tries=3)
    assert (len(script.seen), told.value.status, told.value.code) == (3, 503, "database_unavailable")
    assert len(naps) == 2


def test_a_twin_in_flight_is_waited_for(naps: list[float]) -> None:
    script = Script(problem(409, "idempotency_in_flight", Retry_After="1"), OK)
    with serve(script) as url:
        assert run(url, KEYED) == {"id": "x"}
    assert naps[0] >= 1.0


@pytest.mark.parametrize("status", [400, 403, 404, 409, 412, 422, 428, 500])
def test_a_refusal_is_not_repeated(status: int, naps: list[float]) -> None:
    script = Script(problem(status, "capacity_exceeded"))
    with serve(script) as url, pytest.raises(ApiError) as told:
        run(url, KEYED)
    assert (len(script.seen), naps) == (1, [])
    error = told.value
    assert (error.status, error.code, error.detail, error.request_id) == (
        status,
        "capacity_exceeded",
        "about capacity_exceeded",
        "r-1",
    )
    assert error.errors[0].pointer == "/cards"
    assert str(error) == (
        f"{status} capacity_exceeded: about capacity_exceeded; /cards: Input should be greater than 0"
    )


def test_waits_grow_and_stay_bounded(naps: list[float]) -> None:
    script = Script(problem(503, "busy"))
    with serve(script) as url, pytest.raises(ApiError):
        run(url, KEYED, tries=9)
    assert all(0.125 * 2**n <= max(nap, 0.125 * 2**n) and nap <= min(8.0, 0.25 * 2**n) for n, nap in enumerate(naps))
    assert naps[-1] >= 4.0


def test_a_service_that_asks_for_minutes_is_not_waited_for(naps: list[float]) -> None:
    script = Script(problem(429, "slow", Retry_After="600"))
    with serve(script) as url, pytest.raises(ApiError) as told:
        run(url, KEYED)
    assert (naps, told.value.retry_after) == ([], 600.0)


def test_a_stranger_in_between_is_told_as_it_spoke(naps: list[float]) -> None:
    script = Script(Answer(502, text="<html>Bad Gateway</html>", headers={"x-request-id": "edge-7"}))
    with serve(script) as url, pytest.raises(ApiError) as told:
        run(url, KEYED, tries=1)
    assert (told.value.code, told.value.detail, told.value.request_id) == (
        "http_502",
        "<html>Bad Gateway</html>",
        "edge-7",
    )


def test_nobody_there_is_unreachable_and_even_a_plain_write_was_tried_again(naps: list[float]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ServiceUnreachable, match="No answer from http"):
        run(url, PLAIN)
    assert len(naps) == 3


def test_retry_after_as_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 20 < (retry_after(Reply(503, {"retry-after": later}, b"")) or 0) <= 30
    assert retry_after(Reply(503, {"retry-after": "soon"}, b"")) is None
    assert retry_after(Reply(503, {}, b"")) is None


def test_query_parameters_keep_their_kind_and_none_is_left_out() -> None:
    at = datetime(2026, 12, 1, 9, tzinfo=ZoneInfo("Asia/Shanghai"))
    assert query_pairs({"a": None, "b": True, "c": ["x", "y"], "d": 8, "from": at, "e": []}) == (
        ("b", "true"),
        ("c", "x"),
        ("c", "y"),
        ("d", "8"),
        ("from", "2026-12-01T09:00:00+08:00"),
    )
    with pytest.raises(ValueError, match="no time zone"):
        query_pairs({"from": datetime(2026, 12, 1)})  # noqa: DTZ001


def test_the_etag_is_that_of_what_was_read() -> None:
    script = Script(Answer(200, {"id": "offer_1"}, {"ETag": '"7"'}))
    with serve(script) as url:
        read = run(url, Call("GET", "/v1/offers/offer_1"))
    assert isinstance(read, Read)
    assert (id_of(read), etag_of(read, None)) == ("offer_1", '"7"')
    assert etag_of(read, '"9"') == '"9"'
    assert etag_of({"id": "offer_1", "version": 3}, None) == '"3"'
    assert etag_of("offer_1", "*") == "*"
    with pytest.raises(ValueError, match="as it was read"):
        etag_of("offer_1", None)


def test_every_row_of_every_page_once(naps: list[float]) -> None:
    def page(*names: str, more: bool) -> Answer:
        rows = [{"id": name} for name in names]
        return Answer(200, {"data": rows, "has_more": more, "next_cursor": names[-1], "query": {}})

    script = Script(page("a", "b", more=True), problem(503, "busy"), page("c", more=False))
    with serve(script) as url, Client(url, "chk_x") as client:
        assert [row["id"] for row in client.organisations.each(state="pending", limit=2)] == ["a", "b", "c"]
    assert [seen.path for seen in script.seen] == [
        "/v1/organisations?state=pending&limit=2",
        "/v1/organisations?state=pending&limit=2&after=b",
        "/v1/organisations?state=pending&limit=2&after=b",
    ]


@pytest.mark.anyio
async def test_the_async_client_does_the_same() -> None:
    page = Answer(200, {"data": [{"id": "c"}], "has_more": False, "next_cursor": "c", "query": {}})
    script = Script(problem(503, "busy", Retry_After="0"), Answer(200, {"id": "me"}, {"ETag": '"1"'}), page)
    with serve(script) as url:
        async with AsyncClient(url, "chk_async", language="zh-CN") as client:
            assert await client.keys.me() == {"id": "me"}
            assert [row["id"] async for row in client.organisations.each()] == ["c"]
            assert client.keys.me.__doc__ == "Whose key this is, and what it may act as."
    assert {seen.headers["authorization"] for seen in script.seen} == {"Bearer chk_async"}
    assert {seen.headers["accept-language"] for seen in script.seen} == {"zh-CN"}


def test_where_it_goes_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CARDHOUR_API_URL", raising=False)
    monkeypatch.delenv("CARDHOUR_API_KEY", raising=False)
    with Client() as client:
        assert (client.configuration.base_url, client.configuration.api_key) == ("http://127.0.0.1:8000", None)
    monkeypatch.setenv("CARDHOUR_API_URL", "https://cardhour.example.test/")
    monkeypatch.setenv("CARDHOUR_API_KEY", "chk_env")
    with Client() as client:
        assert client.configuration.base_url == "https://cardhour.example.test"
        assert client.configuration.headers["Authorization"] == "Bearer chk_env"
    wrong: dict[str, Any]
    for wrong in ({"base_url": "ftp://x"}, {"tries": 0}):
        with pytest.raises(ValueError, match=r"not an http|at least 1"):
            Client(**wrong)


def test_only_one_module_knows_httpx() -> None:
    folder = Path(__file__).resolve().parents[2] / "app" / "client"
    assert [path.name for path in folder.glob("*.py") if "import httpx" in path.read_text()] == ["transport.py"]
