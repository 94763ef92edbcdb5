"""`cardhour claims`: submit, list, show, approve, reject, pay and advance from the command line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from app.cli import app
from app.commands.claims import read_proof
from app.kit.db import Database
from app.kit.ids import encode_id
from tests.bazaar import Bazaar
from tests.client.conftest import Live
from tests.conftest import Actor, MakeActor
from tests.settlements.deals import QUARTER_OVER, Deal, Granted

pytestmark = pytest.mark.anyio
Run = Callable[..., Result]
PROOFS = ("contract", "settlement", "delivery record")


@pytest.fixture
async def deal(live: Live, make_actor: MakeActor, app_database: Database, worker_database: Database) -> Deal:
    """Two redemptions of 10 000 CNY under Chengdu's programme, in a quarter that is over."""
    desk, supplier, buyer = [await make_actor(role, ref=f"{role}-2") for role in ("desk", "supplier", "buyer")]
    bazaar = Bazaar(desk, supplier, buyer, live.clock, app_database, worker_database)
    made = await Deal(bazaar, cards=40, price_fen=10_000, grants=(Granted(2_000_000, "chengdu-2023"),)).over()
    await made.report(made.period(0, 5), made.period(5, 5))
    bazaar.clock.now = QUARTER_OVER
    return made


@pytest.fixture
def run(live: Live, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("CARDHOUR_API_URL", live.url)
    monkeypatch.setenv("COLUMNS", "400")

    def run(actor: Actor, *arguments: str, of: str = "claims") -> Result:
        monkeypatch.setenv("CARDHOUR_API_KEY", actor.client.headers["Authorization"].removeprefix("Bearer "))
        return CliRunner().invoke(app, [of, *arguments])

    return run


def test_a_supplier_s_quarter(deal: Deal, run: Run, tmp_path: Path) -> None:
    desk, supplier = deal.bazaar.desk, deal.bazaar.supplier
    proofs: list[str] = []
    for kind in PROOFS:
        file = tmp_path / f"{kind}.pdf"
        file.write_bytes(b"%PDF-1.7 " + kind.encode())
        proofs += ["--proof", f"{kind}={file}"]
    to = ("--supplier", encode_id("org", supplier.org_id))
    advanced = run(desk, "advance", "chengdu-2023", *to, "--amount", "3000")
    assert advanced.exit_code == 0, advanced.output
    assert "no limit" in advanced.stdout
    missing = run(supplier, "submit", "chengdu-2023", "2026-Q4", *proofs[:2])
    assert (missing.exit_code, "proofs_missing" in missing.output) == (1, True), missing.output
    odd = run(supplier, "submit", "chengdu-2023", "2026-Q4", *proofs, "--amount", "20000.001")
    assert (odd.exit_code, "20000.001" in odd.output) == (2, True)
    made = run(supplier, "submit", "chengdu-2023", "2026-Q4", *proofs, "--amount", "20000", "--json")
    assert made.exit_code == 0, made.output
    claim = json.loads(made.stdout)
    assert run(desk, "list", "--state", "submitted", "--quiet").stdout.split() == [claim["id"]]
    shown = run(desk, "show", claim["id"])
    assert "20,000.00 CNY" in shown.stdout
    assert "No signal." in shown.stdout
    assert "signal" not in run(supplier, "show", claim["id"]).stdout
    line = claim["lines"][0]["id"]
    assert run(desk, "approve", claim["id"], "--reject-line", line).exit_code == 2
    assert run(desk, "approve", claim["id"], "--reason", "wrong_amount").exit_code == 2
    why = ("--reason", "wrong_amount", "--detail", "Billed twice.")
    approved = run(desk, "approve", claim["id"], "--reject-line", line, *why)
    assert "Billed twice." in approved.stdout
    assert "7,000.00 CNY" in approved.stdout
    paid = run(desk, "pay", claim["id"], "--amount", "7000", "--reference", "ICBC 7")
    assert "ICBC 7" in paid.stdout, paid.output
    again = run(supplier, "submit", "chengdu-2023", "2026-Q4", *proofs, "--quiet").stdout.strip()
    assert "proof_reused" in run(desk, "show", again).stdout
    rejected = run(desk, "reject", again, "--reason", "proof_insufficient", "--detail", "Used before.")
    assert "Used before." in rejected.stdout
    assert "chengdu-2023" in run(supplier, "list").stdout


def test_a_proof_that_is_wrong_is_told(tmp_path: Path) -> None:
    for given in ("contract", "=a.pdf", "contract="):
        with pytest.raises(typer.BadParameter, match="write --proof"):
            read_proof(given)
    with pytest.raises(typer.BadParameter, match="no such file"):
        read_proof(f"contract={tmp_path / 'a.pdf'}")


async def test_an_application_is_shown_with_its_signals_to_the_desk_alone(
    live: Live, make_actor: MakeActor, app_database: Database, worker_database: Database, run: Run
) -> None:
    desk, supplier, buyer = [await make_actor(role, ref=f"{role}-2") for role in ("desk", "supplier", "buyer")]
    bazaar = Bazaar(desk, supplier, buyer, live.clock, app_database, worker_database)
    body = {"org_id": encode_id("org", buyer.org_id), "other_org_id": encode_id("org", supplier.org_id)}
    body |= {"valid_from": "2026-01-01", "evidence": "Register."}
    for affiliated in (False, True):
        if affiliated:
            assert (await desk.client.post("/v1/affiliations", json=body)).status_code == 201
        deal = await Deal(bazaar, grants=(Granted(100),), opened=affiliated).confirmed()
        applications = (await desk.client.get("/v1/voucher-applications")).json()["data"]
        [application] = [each["id"] for each in applications if each["contract_id"] == deal.contract["id"]]
        shown = run(desk, "show", application, of="applications")
        assert shown.exit_code == 0, shown.output
        assert ("affiliated_parties" in shown.stdout, "No signal." in shown.stdout) == (affiliated, not affiliated)
        own = run(buyer, "show", application, of="applications")
        assert "met" in own.stdout
        assert "signal" not in own.stdout.lower()
