"""What-ifs, comparisons and prices of the service's clearings on the command line."""

import json
from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from app.cli import app
from tests.client.conftest import Live

pytestmark = pytest.mark.anyio

Run = Callable[..., Result]
WINDOW = ("--from", "2026-12-01T06:00:00Z", "--to", "2026-12-20T00:00:00Z")


@pytest.fixture
def run(live: Live, worker: None, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("CARDHOUR_API_URL", live.url)
    monkeypatch.setenv("COLUMNS", "300")

    def run(*arguments: str, role: str = "desk") -> Result:
        monkeypatch.setenv("CARDHOUR_API_KEY", getattr(live, role))
        return CliRunner().invoke(app, list(arguments))

    return run


def test_a_clearing_is_solved_again_compared_and_priced(run: Run) -> None:
    posted = run(
        *("offers", "post", "--chip", "Ascend 910B", "--region", "成都", "--cards", "8", "--price", "8.50"),
        *("--list-price", "15.80", "--from", "2026-12-01T00:00:00Z", "--to", "2026-12-05T00:00:00Z", "--ref", "hall-1"),
        *("--quiet",),
        role="supplier",
    )
    offer = posted.stdout.strip()
    need = ("--chips", "any", "--cards", "8", "--hours", "48", "--max-price", "12.00", *WINDOW)
    assert run("requests", "post", *need, role="buyer").exit_code == 0
    done = run("clearings", "run", "--work-limit", "2", "--json")
    assert done.exit_code == 0, done.output
    base = json.loads(done.stdout)["id"]
    done = run(
        "clearings", "run", "--work-limit", "2", "--base", base, "--offer-set", f"offer/{offer}.price=+10%", "--json"
    )
    assert done.exit_code == 0, done.output
    other = json.loads(done.stdout)["id"]
    told = run("clearings", "compare", other, base)
    # 0.85 CNY x 8 cards x 48 hours.
    assert "-326.40" in told.stdout
    assert "offer_changed" in told.stdout
    assert f"offer_changes.offer/{offer}: price_ppm 1100000, there none" in told.stdout
    assert json.loads(run("clearings", "compare", other, base, "--json").stdout)["totals"]["lost_fen"] == 32_640
    found = json.loads(run("clearings", "prices", base, "--chip", "Ascend 910B", "--json").stdout)
    assert {day["chip_class"] for day in found["prices"]} == {"A100-class"}
    assert found["budgets"] == []
    assert run("clearings", "prices", base).exit_code == 0
    wrong = run("clearings", "prices", base, "--chip", "No Such")
    assert (wrong.exit_code, "unknown_chip_on_offer" in wrong.stderr) == (1, True)
    apply = run("clearings", "run", "--mode", "apply", "--base", base)
    assert (apply.exit_code, "dry_run_only" in apply.stderr) == (1, True)
    loose = run("clearings", "run", "--set", "open-example.pool_year_cny=1")
    assert (loose.exit_code, "is not one of the --programme given" in loose.stderr) == (2, True)
