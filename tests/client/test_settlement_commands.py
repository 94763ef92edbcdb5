"""`cardhour settlements`: report, dispute, pay and invoice from the command line."""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from app.cli import app
from app.commands.settlements import read_reports
from app.kit.db import SYSTEM, Database
from app.reservations.service import sweep
from tests.client.conftest import Live

pytestmark = pytest.mark.anyio
Run = Callable[..., Result]


@pytest.fixture
def run(live: Live, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("CARDHOUR_API_URL", live.url)
    monkeypatch.setenv("COLUMNS", "300")

    def run(*arguments: str, role: str = "supplier") -> Result:
        monkeypatch.setenv("CARDHOUR_API_KEY", getattr(live, role))
        return CliRunner().invoke(app, list(arguments))

    return run


@pytest.fixture
async def running(run: Run, live: Live, worker_database: Database) -> str:
    """A reservation of 8 cards for 10 hours at 8.50 CNY, from 02:00 to 12:00 UTC, that is over."""
    offer = ("offers", "post", "--chip", "Ascend 910B", "--region", "成都", "--cards", "8", "--price", "8.50")
    assert run(*offer, "--from", "2026-12-01T02:00:00Z", "--to", "2026-12-01T12:00:00Z").exit_code == 0
    window = ("--from", "2026-12-01T02:00:00Z", "--to", "2026-12-01T12:00:00Z")
    need = ("--chips", "class:A100-class", "--cards", "8", "--hours", "10", "--max-price", "9", *window)
    request = run("requests", "post", *need, "--quiet", role="buyer").stdout.strip()
    quote = run("quote", request, "--quiet", role="buyer").stdout.strip()
    held = run("book", quote, "--option", "1", "--quiet", role="buyer").stdout.strip()
    assert run("reservations", "accept", held, role="buyer").exit_code == 0
    assert run("reservations", "accept", held).exit_code == 0
    live.clock.now = datetime.fromisoformat("2026-12-01T13:00:00+00:00")
    async with worker_database.write(SYSTEM) as session:
        assert (await sweep(session, live.clock())).activated == 1
    return held


def test_a_supplier_s_day(run: Run, running: str, tmp_path: Path) -> None:
    file = tmp_path / "day.csv"
    file.write_text(
        "period_start,period_end,card_seconds\n2026-12-01T02:00:00Z,2026-12-01T07:00:00Z,144000\n"
        "2026-12-01T15:00:00+08:00,2026-12-01T20:00:00+08:00,72000\n"
    )
    told = run("settlements", "report", running, "--file", str(file))
    assert told.exit_code == 0, told.output
    assert "340.00" in told.stdout
    [first, second] = json.loads(run("settlements", "deliveries", running, "--json").stdout)
    disputed = run("settlements", "dispute", second["id"], "--reason", "Four cards were down.", role="buyer")
    assert "Four cards were down." in disputed.stdout
    correction = ("--from", second["period_start"], "--to", second["period_end"], "--corrects", second["id"])
    assert run("settlements", "report", running, *correction, "--card-seconds", "36000").exit_code == 0
    assert len(json.loads(run("settlements", "deliveries", running, "--all", "--json").stdout)) == 3
    listed = run("settlements", "list", "--quiet").stdout.split()
    assert len(listed) == 3
    assert "-85.00" in run("settlements", "show", listed[2], role="buyer").stdout
    refused = run("settlements", "pay", listed[0], "--amount", "339.99")
    assert (refused.exit_code, "payment_differs" in refused.output) == (1, True)
    assert "ICBC 42" in run("settlements", "pay", listed[0], "--amount", "340", "--reference", "ICBC 42").stdout
    assert run("settlements", "list", "--payment", "paid", "--quiet").stdout.split() == [listed[0]]
    for kind, begins in (("pdf", b"%PDF-"), ("html", b"<!doctype"), ("json", b"{")):
        path = tmp_path / f"invoice.{kind}"
        assert run("settlements", "invoice", listed[0], "-o", str(path), role="buyer").exit_code == 0
        assert path.read_bytes().startswith(begins)
    assert json.loads(run("settlements", "invoice", listed[0]).stdout)["payable_in_words"] == "叁佰肆拾元整"
    assert run("settlements", "invoice", listed[0], "-o", str(tmp_path / "invoice.doc")).exit_code == 2
    assert first["corrected_by"] is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("period_start,period_end\n", "must name the columns"),
        ("period_start,period_end,card_seconds,cards\n", "must name the columns"),
        ("period_start,period_end,card_seconds\n2026-12-01T02:00:00Z,2026-12-01T07:00:00Z,1.5\n", "line 2"),
        ("period_start,period_end,card_seconds\n2026-12-01,2026-12-01T07:00:00Z,1\n", "RFC 3339|offset"),
    ],
)
def test_a_file_that_is_wrong_is_told_by_line(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "reports.csv"
    file.write_text(text)
    with pytest.raises(typer.BadParameter, match=told):
        read_reports(file)
