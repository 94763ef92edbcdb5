"""The client and the command line of voucher programmes."""

import json

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.client import Client
from tests.client.scripted import Answer, Script, problem, serve

YEAR = {
    "year": 2026,
    "version": 1,
    "pool_fen": 20_000_000,
    "buyer_year_fen": None,
    "opened_at": "2026-01-01T00:00:00Z",
}
LISTED = {
    "data": [
        {
            "id": "open-example",
            "version": 1,
            "title": {"en": "Open example", "zh": "公开示例"},
            "grade": "example",
            "tiers": ["general"],
            "sha256": "0" * 64,
            "stored_at": "2026-01-01T00:00:00Z",
            "years": [YEAR],
        }
    ]
}


def command(monkeypatch: pytest.MonkeyPatch, script: Script, *arguments: str):
    with serve(script) as url:
        monkeypatch.setenv("CARDHOUR_API_URL", url)
        monkeypatch.setenv("CARDHOUR_API_KEY", "chk_x")
        return CliRunner().invoke(app, ["programmes", *arguments])


def test_programmes_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = command(monkeypatch, Script(Answer(200, LISTED)), "list")
    assert shown.exit_code == 0
    assert all(word in shown.output for word in ("open-example", "Open example", "2026"))
    as_json = command(monkeypatch, Script(Answer(200, LISTED)), "list", "--json")
    assert json.loads(as_json.stdout) == LISTED["data"]


def test_a_year_is_opened_with_a_key_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(Answer(201, YEAR))
    shown = command(monkeypatch, script, "open", "open-example", "--year", "2026", "--pool", "200000")
    assert shown.exit_code == 0, shown.output
    assert "200,000.00" in shown.output
    assert "no cap" in shown.output
    [seen] = script.seen
    assert (seen.method, seen.path) == ("POST", "/v1/programmes/open-example/open")
    assert seen.headers["idempotency-key"]
    assert json.loads(seen.body) == {"year": 2026, "pool_fen": 20_000_000, "buyer_year_fen": None}


def test_a_refusal_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = command(monkeypatch, Script(problem(409, "programme_year_open")), "open", "open-example", "--year", "2026")
    assert shown.exit_code == 1
    assert "programme_year_open" in shown.output


def test_amounts_and_years_are_checked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in (("--year", "1999"), ("--year", "2026", "--pool", "1.234"), ("--year", "2026", "--buyer-year", "x")):
        script = Script(Answer(500))
        assert command(monkeypatch, script, "open", "open-example", *wrong).exit_code == 2
        assert script.seen == []


def test_what_the_client_asks_for() -> None:
    script = Script(Answer(200, {"data": [], "has_more": False, "next_cursor": None, "previous_cursor": None}))
    with serve(script) as url, Client(url, "chk_x") as client:
        client.programmes.read("open-example")
        assert list(client.vouchers.each(state="earmarked")) == []
        client.vouchers.page(reservation_id="rsv_1")
        assert list(client.ledger.each_account(kind="pool")) == []
        client.ledger.accounts(name="a/b")
        client.ledger.transfers(kind="pending", limit=5)
    paths = [seen.path for seen in script.seen]
    assert paths[0] == "/v1/programmes/open-example"
    assert paths[1].startswith("/v1/vouchers?state=earmarked")
    assert paths[2:] == [
        "/v1/vouchers?reservation_id=rsv_1",
        paths[3],
        "/v1/ledger/accounts?name=a%2Fb",
        "/v1/ledger/transfers?kind=pending&limit=5",
    ]
