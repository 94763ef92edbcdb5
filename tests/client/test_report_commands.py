"""`cardhour reports`: as tables, JSON and files, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from app.cli import app
from app.kit.db import Database
from app.kit.ids import decode_id
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
        return CliRunner().invoke(app, ["reports", *arguments])

    return run


async def test_reports_at_the_command_line(run: Run, live: Live, app_database: Database, tmp_path: Path) -> None:
    grants = await Grants(app_database).open()
    await grants.take(decode_id("org", live.org_ids["buyer"]), 12_345)
    told = run("burn-down", "made-up", "--year", "2026")
    assert told.exit_code == 0, told.output
    assert "1,000.00" in told.stdout
    assert "876.55" in told.stdout
    assert json.loads(run("burn-down", "made-up", "--year", "2026", "--json").stdout)["earmarked_fen"] == 12_345
    groups = ("--by", "programme", "--by", "buyer_kind")
    assert "123.45" in run("totals", *groups).stdout
    assert json.loads(run("totals", *groups, "--json").stdout)["by"] == ["programme", "buyer_kind"]
    assert "card-hours per CNY" in run("effect").stdout
    assert json.loads(run("effect", "--json").stdout)["rows"] == []
    for name, arguments in (("burn-down", ("made-up", "--year", "2026")), ("totals", ()), ("effect", ())):
        for kind, begins in ((".csv", b""), (".svg", b"<?xml"), (".png", b"\x89PNG"), (".json", b"{")):
            path = tmp_path / f"{name}{kind}"
            done = run(name, *arguments, "-o", str(path))
            assert done.exit_code == 0, done.output
            assert path.read_bytes().startswith(begins)
    assert "123.45" in (tmp_path / "totals.csv").read_text()


async def test_what_is_refused(run: Run, app_database: Database, tmp_path: Path) -> None:
    await Grants(app_database).open()
    wrong = run("totals", "-o", str(tmp_path / "totals.pdf"))
    assert (wrong.exit_code, ".csv, .svg, .png or .json" in wrong.output) == (2, True)
    nowhere = run("totals", "-o", str(tmp_path / "no" / "totals.csv"))
    assert (nowhere.exit_code, "No such file" in nowhere.output) == (2, True)
    assert "not opened for 2031" in run("burn-down", "made-up", "--year", "2031").output
    assert run("totals", "--by", "colour").exit_code == 2
    assert "for: desk, auditor" in run("totals", role="buyer").output
