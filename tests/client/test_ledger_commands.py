"""`cardhour ledger`, against scripted answers."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import app
from tests.client.scripted import Answer, Script, problem, serve

SUMS = {"debits_pending": 100, "debits_posted": 0, "credits_pending": 100, "credits_posted": 0}
LINE = {
    "transfer_id": "xfer_1",
    "seq": 7,
    "created_at": "2026-01-01T00:00:00Z",
    "kind": "expire",
    "side": "debit",
    "other_account_id": "acct_2",
    "other_account": None,
    "subject": None,
    "pending_fen": -12_345,
    "posted_fen": 0,
    "debits_pending": 0,
    "debits_posted": 0,
    "credits_pending": 0,
    "credits_posted": 100_000,
    "left_fen": 100_000,
    "pending_id": "xfer_0",
    "corrects_id": None,
    "reason": None,
}


def page(*rows: object) -> dict[str, object]:
    return {"data": list(rows), "has_more": False, "next_cursor": None, "previous_cursor": None, "query": {}}


def command(monkeypatch: pytest.MonkeyPatch, script: Script, *arguments: str):
    with serve(script) as url:
        monkeypatch.setenv("CARDHOUR_API_URL", url)
        monkeypatch.setenv("CARDHOUR_API_KEY", "chk_x")
        return CliRunner().invoke(app, ["ledger", *arguments])


def test_a_statement_is_found_by_the_accounts_name(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(Answer(200, page({"id": "acct_1"})), Answer(200, page(LINE)))
    shown = command(monkeypatch, script, "statement", "open-example/pool/2026")
    assert shown.exit_code == 0, shown.output
    assert all(word in shown.output for word in ("expire", "-123.45", "1,000.00", "acct_2"))
    assert script.seen[1].path.startswith("/v1/ledger/accounts/acct_1/statement")


def test_a_name_that_is_no_account_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = command(monkeypatch, Script(Answer(200, page())), "statement", "nowhere")
    assert shown.exit_code == 1
    assert "No account is named 'nowhere'" in shown.output


@pytest.mark.parametrize(("balanced", "code"), [(True, 0), (False, 1), (None, 0)])
def test_books_that_do_not_balance_end_with_1(
    monkeypatch: pytest.MonkeyPatch, balanced: bool | None, code: int
) -> None:
    told = {
        "programme": None,
        "owner_org_id": None,
        "kinds": [SUMS | {"kind": "pool", "accounts": 1}],
        "total": SUMS,
        "currency": "CNY",
        "balanced": balanced,
    }
    shown = command(monkeypatch, Script(Answer(200, told)), "trial-balance")
    assert shown.exit_code == code, shown.output
    assert ("balanced" in shown.output) == (balanced is not None)


def test_an_export_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = Script(Answer(200, {"any": "content"}))
    file = tmp_path / "ledger.jsonl"
    shown = command(monkeypatch, script, "export", "--format", "jsonl", "--file", str(file))
    assert shown.exit_code == 0, shown.output
    assert json.loads(file.read_text()) == {"any": "content"}
    assert "format=jsonl" in script.seen[0].path


def test_a_correction_is_sent_in_fen_and_a_refusal_told(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(problem(409, "corrected_beyond_zero"))
    shown = command(monkeypatch, script, "correct", "xfer_1", "--amount", "12.5", "--reason", "too much")
    assert shown.exit_code == 1
    assert "corrected_beyond_zero" in shown.output
    [seen] = script.seen
    assert seen.headers["idempotency-key"]
    assert json.loads(seen.body) == {"transfer_id": "xfer_1", "amount_fen": 1250, "reason": "too much"}
    bad = command(monkeypatch, Script(), "correct", "xfer_1", "--amount", "1.234", "--reason", "three decimals")
    assert bad.exit_code == 2
