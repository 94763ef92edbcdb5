"""Imports and exports through the client and the commands, with a worker that runs them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.client import AsyncClient, Client, JobFailed
from app.client.market import NoMarket, market_files
from app.client.types import ImportOut
from app.demo.generate import MARKET
from tests.client.conftest import Live

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("worker")]

START = "2026-12-01T00:00:00Z"


@pytest.fixture
def desk(live: Live) -> Iterator[Client]:
    with Client(live.url, live.desk) as client:
        yield client


def test_the_sample_market_goes_in_once_and_comes_out_again(desk: Client) -> None:
    seen: list[ImportOut] = []
    done = desk.imports.run(market_files(MARKET), start_at=START, on_progress=seen.append)
    assert done["result"] is not None
    counts = done["result"]["files"]
    assert {name: counts[name]["inserted"] for name in counts} == {
        "suppliers.csv": 12,
        "buyers.csv": 36,
        "offers.csv": 25,
        "requests.csv": 60,
    }
    assert [job["id"] for job in (seen[0], seen[-1])] == [done["id"]] * 2
    assert seen[-1]["state"] == "succeeded"
    again = desk.imports.run(market_files(MARKET), start_at=START)
    assert again["result"] is not None
    assert all(count["unchanged"] and not count["inserted"] for count in again["result"]["files"].values())
    assert [job["id"] for job in desk.imports.each()] == [again["id"], done["id"]]
    files = desk.exports.run(what=["offers", "requests"])
    assert set(files) == {"offers.csv", "requests.csv"}
    assert files["offers.csv"].count(b"\n") == 26


def test_a_bad_row_refuses_all_and_is_named(desk: Client) -> None:
    files = market_files(MARKET)
    files["requests.csv"] = files["requests.csv"].replace(b",8,24,", b",-8,24,", 1)
    with pytest.raises(JobFailed) as told:
        desk.imports.run(files, start_at=START)
    [bad] = told.value.job["error"]["bad_rows"]
    assert (bad["file"], bad["column"]) == ("requests.csv", "cards")
    assert list(desk.requests.each()) == []


async def test_the_async_client_does_it_too(live: Live) -> None:
    async with AsyncClient(live.url, live.desk) as client:
        job = await client.imports.start(market_files(MARKET), start_at=START, namespace="trial", dry_run=True)
        assert job["state"] in ("queued", "running", "succeeded")
        done = await client.imports.run(market_files(MARKET), start_at=START, namespace="trial")
        assert done["namespace"] == "trial"
        files = await client.exports.run(format="jsonl", what=["requests"], namespace="trial")
        first = json.loads(files["requests.jsonl"].split(b"\n")[0])
        assert not str(first["request_ref"]).startswith("trial:")
        assert (await client.imports.template("offers")).startswith(b"offer_ref,")


@pytest.fixture
def cli(live: Live, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("CARDHOUR_API_URL", live.url)
    monkeypatch.setenv("CARDHOUR_API_KEY", live.desk)
    monkeypatch.setenv("COLUMNS", "200")
    return CliRunner()


def test_import_and_export_on_the_command_line(cli: CliRunner, tmp_path: Path) -> None:
    arguments = ["import", "--market", str(MARKET), "--start-at", START]
    dry = cli.invoke(app, [*arguments, "--dry-run"])
    assert (dry.exit_code, "Nothing was written" in dry.stdout) == (0, True)
    done = cli.invoke(app, arguments)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "offers.csv" in done.stdout
    assert "larger_than_any_offer" in done.stdout
    assert (
        json.loads(cli.invoke(app, [*arguments, "--json"]).stdout)["result"]["files"]["offers.csv"]["unchanged"] == 25
    )
    out = tmp_path / "made" / "here"
    exported = cli.invoke(app, ["export", "--market", str(out), "--what", "offers", "--what", "requests"])
    assert exported.exit_code == 0
    assert {path.name for path in out.iterdir()} == {"offers.csv", "requests.csv"}


def test_bad_rows_are_a_table_and_exit_1(cli: CliRunner, tmp_path: Path) -> None:
    for name, content in market_files(MARKET).items():
        (tmp_path / name).write_bytes(content.replace(b"offer-07", b"offer-06"))
    refused = cli.invoke(app, ["import", "--market", str(tmp_path), "--start-at", START])
    assert refused.exit_code == 1
    assert refused.stderr.startswith("Error: ")
    assert "offers.csv:8" in refused.stdout
    assert "offer_ref" in refused.stdout
    kept = cli.invoke(app, ["import", "--market", str(tmp_path), "--start-at", START, "--skip-bad"])
    assert kept.exit_code == 0
    assert "Left out" in kept.stdout


def test_chips_are_found_beside_or_above_the_market(tmp_path: Path) -> None:
    market = tmp_path / "markets" / "one"
    market.mkdir(parents=True)
    with pytest.raises(NoMarket, match="holds none of"):
        market_files(market)
    (market / "offers.jsonl").write_bytes(b"")
    assert set(market_files(market)) == {"offers.jsonl"}
    for place, name in ((tmp_path, b"far"), (tmp_path / "markets", b"near"), (market, b"beside")):
        (place / "chips.csv").write_bytes(name)
        assert market_files(market)["chips.csv"] == name
    assert market_files(market, tmp_path / "chips.csv")["chips.csv"] == b"far"
    with pytest.raises(NoMarket, match="No such file"):
        market_files(market, tmp_path / "none.csv")
