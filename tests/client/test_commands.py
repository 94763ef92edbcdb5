"""The commands made of the client: tables, JSON, refusals in one line, exit codes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
import typer
from typer.testing import CliRunner, Result

from app.cli import app
from app.client import types
from app.commands.console import AnyRole, MarketPart, cny, fen, moment
from app.commands.requests import alternative_text
from app.kit.db import Database
from tests.client.conftest import Live
from tests.grants import Grants

pytestmark = pytest.mark.anyio

Run = Callable[..., Result]


@pytest.fixture
def run(live: Live, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("CARDHOUR_API_URL", live.url)
    monkeypatch.setenv("COLUMNS", "300")

    def run(*arguments: str, role: str = "desk") -> Result:
        monkeypatch.setenv("CARDHOUR_API_KEY", getattr(live, role))
        return CliRunner().invoke(app, list(arguments))

    return run


OFFER = (
    *("offers", "post", "--chip", "Ascend 910B", "--region", "成都", "--cards", "32", "--price", "8.50"),
    *("--list-price", "15.80", "--from", "2026-12-01T00:00:00Z", "--to", "2027-01-01T00:00:00Z", "--ref", "hall-1"),
)
NEED = (
    *("--chips", "class:A100-class", "--cards", "8", "--hours", "47.5", "--max-price", "9.00"),
    *("--from", "2026-12-01T06:00:00Z", "--to", "2026-12-20T00:00:00Z"),
)


def test_from_an_offer_to_access(run: Run) -> None:
    offer = run(*OFFER, "--quiet", role="supplier").stdout.strip()
    assert offer.startswith("offer_")
    assert run("offers", "list", "--quiet").stdout.strip() == offer
    listed = run("offers", "list", "--class", "A100-class", "--cards", "8", "--hours", "24", *NEED[-4:])
    assert "2026-12-01" in listed.stdout
    assert "1,632.00" in listed.stdout
    assert "15.80" in run("offers", "show", offer).stdout
    request = run("requests", "post", *NEED, "--blocks", "2", "--quiet", role="buyer").stdout.strip()
    assert "1 to 2" in run("requests", "show", request, role="buyer").stdout
    assert json.loads(run("requests", "list", "--json").stdout)[0]["id"] == request
    assert "8.50" in run("quote", request, "--blocks", "2", role="buyer").stdout
    quote = run("quote", request, "--blocks", "2", "--quiet", role="buyer").stdout.strip()
    held = run("book", quote, "--option", "1", "--quiet", role="buyer").stdout.split()
    assert len(held) == 2
    assert run("reservations", "accept", held[0], role="buyer").exit_code == 0
    accepted = run("reservations", "accept", held[0], "--side", "supplier", "--json")
    assert json.loads(accepted.stdout)["state"] == "confirmed"
    assert run("reservations", "access", held[0], "--instructions", "ssh me", role="supplier").exit_code == 0
    assert "ssh me" in run("reservations", "access", held[0], role="buyer").stdout
    capacity = run("offers", "capacity", offer, role="supplier")
    assert [int(part) for part in capacity.stdout.splitlines()[2].split()[-3:]] == [32, 16, 16]
    assert (
        "buyer_changed_plans"
        in run("reservations", "cancel", held[1], "--reason", "buyer_changed_plans", role="buyer").stdout
    )
    assert run("reservations", "list", "--state", "confirmed", "--quiet").stdout.strip() == held[0]
    assert "withdrawn" in run("offers", "withdraw", offer, role="supplier").stdout


async def test_quotes_and_reservations_show_their_vouchers(run: Run, live: Live, app_database: Database) -> None:
    offer = run(*OFFER, "--quiet", role="supplier")
    assert offer.exit_code == 0
    asked = ("quote", "--cards", "1", "--hours", "10", *NEED[-4:])
    plain = run(*asked, role="buyer").stdout
    assert "voucher CNY" not in plain
    await Grants(app_database).open()
    fact = {"key": "integrity", "value": "clean", "valid_from": "2026-01-01"}
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {live.desk}"}) as desk:
        made = await desk.post(f"{live.url}/v1/organisations/{live.org_ids['buyer']}/facts", json=fact)
    assert made.status_code == 201, made.text
    # 10 card-hours at 8.50 CNY: half of them is a voucher.
    shown = run(*asked, role="buyer").stdout
    assert "voucher CNY" in shown
    assert "made-up (general)" in shown
    assert shown.count("42.50") == 2
    held = run("book", run(*asked, "--quiet", role="buyer").stdout.strip(), "--quiet", role="buyer").stdout.strip()
    for role in ("buyer", "supplier"):
        told = run("reservations", "show", held, role=role).stdout
        assert "voucher made-up" in told
        assert "42.50 CNY (general), earmarked" in told


def test_a_need_that_nothing_meets_says_why_and_exits_1(run: Run) -> None:
    run(*OFFER, role="supplier")
    refused = run("quote", "--cards", "64", "--hours", "1", *NEED[-4:], role="buyer")
    assert refused.exit_code == 1
    assert "No option: No acceptable offer ever has that many cards at once." in refused.stdout
    posted = run("requests", "post", *NEED[:2], "--cards", "64", *NEED[4:], role="buyer")
    assert posted.exit_code == 0
    assert "the largest open offer" in posted.stdout


def test_facts_are_recorded_and_verified(run: Run, live: Live) -> None:
    buyer = live.org_ids["buyer"]
    since = ("--since", "2026-01-01", "--evidence", "credit report")
    fact = run("organisations", "fact", buyer, "integrity", "clean", *since, "--quiet", role="buyer").stdout.strip()
    assert "not yet" in run("organisations", "fact", buyer, "kind", "startup", *since, role="buyer").stdout
    assert "not yet" not in run("organisations", "verify-fact", buyer, fact).stdout
    revenue = run("organisations", "fact", buyer, "prior_year_revenue_fen", "1000000000", *since, "--json")
    assert json.loads(revenue.stdout)["value"] == 1_000_000_000
    supplier = live.org_ids["supplier"]
    partner = json.loads(run("organisations", "fact", supplier, "partner", "yes", *since, "--json").stdout)
    assert (partner["value"], partner["verified_at"] is not None) == (True, True)
    for key, value, told in (
        ("prior_year_revenue_fen", "1.5", "a whole number"),
        ("partner", "true", "is yes or no"),
        ("colour", "red", "colour"),
    ):
        refused = run("organisations", "fact", buyer, key, value, *since)
        assert (refused.exit_code, told in refused.output) == (2, True), refused.output


def test_organisations_and_keys(run: Run) -> None:
    secret = run("organisations", "register", "--name", "示例初创一", "--role", "buyer", "--quiet").stdout.strip()
    assert secret.startswith("chk_")
    pending = run("organisations", "list", "--state", "pending", "--quiet").stdout.strip()
    assert "approved" in run("organisations", "approve", pending).stdout
    assert "示例初创一" in run("organisations", "show", pending).stdout
    assert "suspended" in run("organisations", "suspend", pending, "--reason", "示例").stdout
    made = json.loads(run("keys", "new", "--label", "ci", "--role", "desk", "--json").stdout)
    assert "ci" in run("keys", "list").stdout
    assert "was revoked" in run("keys", "revoke", made["id"]).stdout


def test_refusals_are_one_line_and_exit_1(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = run("offers", "show", "offer_1")
    assert (wrong.exit_code, wrong.stderr.count("\n")) == (1, 1)
    assert wrong.stderr.startswith("Error: The input is not valid")
    assert "offer_id" in wrong.stderr
    assert "for: desk" in run("organisations", "approve", "org_01m80jzr3seyea0n6h94vy3z2e", role="buyer").stderr
    monkeypatch.setenv("CARDHOUR_API_KEY", "chk_wrong")
    stranger = CliRunner().invoke(app, ["offers", "list"])
    assert (stranger.exit_code, "Set CARDHOUR_API_KEY" in stranger.stderr) == (1, True)
    monkeypatch.setenv("CARDHOUR_API_URL", "ftp://example.test")
    assert "not an http" in CliRunner().invoke(app, ["offers", "list"]).stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("requests", "post", "--cards", "8"),
        ("quote", "--cards", "8"),
        ("quote", "--cards", "8", "--hours", "2", "--to", "tomorrow"),
        ("offers", "list", "--max-price", "8.505"),
        ("offers", "list", "--sort", "cheapest"),
        ("reservations", "cancel", "rsv_1"),
        ("requests", "post", "--file", "nowhere.json"),
    ],
)
def test_wrong_usage_exits_2(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


def test_a_folder_without_a_market_is_told(run: Run, tmp_path: Path) -> None:
    told = run("import", "--market", str(tmp_path))
    assert told.exit_code == 1
    assert "holds none of suppliers.csv" in told.stderr


def test_a_request_from_a_file(run: Run, tmp_path: Path) -> None:
    body = {
        "alternatives": [
            {"chips": "A100 80G", "cards": 8, "hours": 24, "max_net_price_fen": 1100},
            {"chips": "domestic", "cards": 16, "hours": 24, "max_net_price_fen": 900},
        ],
        "earliest_start": "2026-12-01T06:00:00Z",
        "deadline": "2026-12-20T00:00:00Z",
        "site": {"regions": ["成都"]},
    }
    (tmp_path / "need.json").write_text(json.dumps(body, ensure_ascii=False), encoding="utf-8")
    posted = run("requests", "post", "--file", str(tmp_path / "need.json"), "--json", role="buyer")
    assert len(json.loads(posted.stdout)["alternatives"]) == 2


def test_options_take_what_the_api_takes() -> None:
    assert {role.value for role in AnyRole} == set(get_args(types.Role))
    assert {part.value for part in MarketPart} == set(get_args(types.Kind))


def test_times_and_money() -> None:
    assert moment("2026-12-01T09:00:00+08:00") == "2026-12-01T01:00:00Z"
    assert (moment("now") < moment("+1h") < moment("+2d")) is True
    assert moment("now").endswith(":00:00Z")
    for wrong in ("2026-12-01T09:00:00", "+99999d", "soon"):
        with pytest.raises(typer.BadParameter):
            moment(wrong)
    assert (fen("8.5"), cny(123_456_789), cny(None)) == (850, "1,234,567.89", "")
    with pytest.raises(typer.BadParameter):
        fen("8.505")
    assert alternative_text({"cards": 8, "chips": "any", "hours": 24.0, "max_net_price_fen": None}) == "8 × any, 24 h"


def test_every_command_has_an_example() -> None:
    def leaves(command: Any, path: str) -> list[tuple[str, Any]]:
        if hasattr(command, "commands"):
            return [leaf for name, child in command.commands.items() for leaf in leaves(child, f"{path} {name}")]
        return [(path, command)]

    for path, command in leaves(typer.main.get_command(app), "cardhour"):
        assert "Example" in (command.help or ""), path
