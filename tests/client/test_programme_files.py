"""`cardhour programmes` on files and facts, without a service; its drafts with one."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.vouchers.programmes import shipped_programmes, shipped_text
from tests.client.scripted import Answer, Script, serve

CHENGDU = ("--buyer", "kind=sme,revenue=10000000,integrity=clean", "--contract", "amount=3000000,signed=2026-03-01")
VERSION = {"programme": "suzhou-example", "version": 1, "state": "draft"}


def run(*arguments: str) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["programmes", *arguments])
    return found.exit_code, found.output


def test_shipped_ones_are_listed_and_shown() -> None:
    code, told = run("list", "--shipped", "--json")
    assert code == 0
    assert [row["id"] for row in json.loads(told)] == shipped_programmes()
    code, told = run("show", "beijing-2023", "--shipped")
    assert (code, told.strip()) == (0, shipped_text("beijing-2023").strip())
    code, told = run("show", "beijing-2023", "--shipped", "--json")
    assert json.loads(told)["suppliers"]["batches"] == ["1", "2"]
    code, told = run("show", "atlantis", "--shipped")
    assert code == 1
    assert "atlantis" in told


def test_a_good_file_and_a_wrong_one(tmp_path: Path) -> None:
    text = shipped_text("suzhou-example")
    (tmp_path / "city.txt").write_text(text, encoding="utf-8")
    code, told = run("check", str(tmp_path / "city.txt"))
    assert (code, "suzhou-example version 1" in told) == (0, True)
    wrong = text.replace('cadence = "quarter"', 'cadence = "weekly"').replace("min_score = 85", "min_score = 101")
    (tmp_path / "wrong.toml").write_text(wrong, encoding="utf-8")
    code, told = run("check", str(tmp_path / "wrong.toml"))
    assert code == 1
    lines = wrong.splitlines()
    for line, key in (('cadence = "weekly"', "claim.cadence"), ("min_score = 101", "evaluation.bonus.min_score")):
        assert f"wrong.toml:{lines.index(line) + 1}: {key}" in told
    assert run("check", str(tmp_path / "none.toml"))[0] == 1


def test_clauses_and_arithmetic_are_explained() -> None:
    code, told = run("explain", "chengdu-2023", *CHENGDU)
    assert code == 0
    for part in ("chengdu-2023: 1,000,000.00 CNY", "rate x base, rounded down 50%: 1500000.00", "general (chosen)"):
        assert part in told
    code, told = run("explain", "chengdu-2023", *CHENGDU, "--json", "--zh", "--left", "pool=9999,buyer_year=1000000")
    [choice] = json.loads(told)["choices"]
    tier = choice["decisions"][0]["tiers"][0]
    assert (choice["amount_fen"], tier["unmet"]) == (0, ["minimum_voucher"])
    assert "算力券最低面额" in tier["clauses"][-1]["told"]
    code, told = run("explain", "hangzhou-2025", "national-smart", *CHENGDU, "--json")
    assert json.loads(told)["choices"][0]["programmes"] == ["hangzhou-2025", "national-smart"]


@pytest.mark.parametrize(
    ("buyer", "contract", "told"),
    [
        ("kind=firm", "amount=1", "kind"),
        ("kind=sme,kind=sme", "amount=1", "twice"),
        ("king=sme", "amount=1", "king"),
        ("kind", "amount=1", "KEY=VALUE"),
        ("kind=sme,revenue=1.234", "amount=1", "two decimals"),
        ("kind=sme", "amount=1.234", "two decimals"),
        ("kind=sme", "amount=-1", "two decimals"),
        ("kind=sme", "hours=1", "amount"),
        ("kind=sme", "amount=1,hours=1.5", "whole"),
        ("kind=sme", "amount=1,blocks=0", "blocks"),
        ("kind=sme", "amount=1,domestic=maybe", "domestic"),
        ("kind=sme", "amount=1,signed=2026-13-01", "signed"),
        ("kind=sme", "amount=1,signed=2026-03-01T00:00:00", "signed"),
    ],
)
def test_what_cannot_be_read_is_named(buyer: str, contract: str, told: str) -> None:
    code, output = run("explain", "chengdu-2023", "--buyer", buyer, "--contract", contract)
    assert code == 2
    assert told in " ".join(output.replace("│", " ").split())


def test_a_programme_named_twice_is_refused() -> None:
    assert run("explain", "open-example", "open-example", *CHENGDU)[0] == 2


def served(monkeypatch: pytest.MonkeyPatch, script: Script, *arguments: str) -> tuple[int, str]:
    with serve(script) as url:
        monkeypatch.setenv("CARDHOUR_API_URL", url)
        monkeypatch.setenv("CARDHOUR_API_KEY", "chk_x")
        return run(*arguments)


def test_a_file_is_drafted_changed_and_published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "suzhou.toml"
    file.write_text(shipped_text("suzhou-example"), encoding="utf-8")
    for arguments, method, path in (
        (("draft", str(file)), "POST", "/v1/programmes"),
        (("draft", str(file), "--replace"), "PUT", "/v1/programmes/suzhou-example/versions/1"),
        (("publish", "suzhou-example", "1"), "POST", "/v1/programmes/suzhou-example/publish"),
    ):
        script = Script(Answer(200, VERSION))
        code, told = served(monkeypatch, script, *arguments)
        assert (code, told.strip()) == (0, "suzhou-example version 1 is draft")
        [seen] = script.seen
        assert (seen.method, seen.path) == (method, path)
    file.write_text("id = 1", encoding="utf-8")
    script = Script(Answer(500))
    assert served(monkeypatch, script, "draft", str(file))[0] == 1
    assert script.seen == []


def test_an_organisation_is_explained_by_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(Answer(200, {"choices": []}))
    code, _ = served(
        monkeypatch,
        script,
        *("explain", "chengdu-2023", "--buyer", "org_1", "--supplier", "org_2"),
        *("--contract", "amount=3000000,signed=2026-03-01"),
    )
    assert code == 0
    [seen] = script.seen
    assert seen.path == "/v1/programmes/chengdu-2023/explain"
    body = json.loads(seen.body)
    assert (body["buyer_org_id"], body["supplier_org_id"]) == ("org_1", "org_2")
    assert body["contract"]["items"] == [{"kind": "compute", "amount_fen": 300_000_000}]
    script = Script(Answer(200, {"choices": []}))
    assert served(monkeypatch, script, "explain", "p", "--buyer", "org_1", "--contract", "amount=1")[0] == 0
    assert json.loads(script.seen[0].body)["supplier_org_id"] is None
    mixed = ("--supplier", "pflops=100", "--contract", "amount=1")
    assert served(monkeypatch, Script(Answer(500)), "explain", "p", "--buyer", "org_1", *mixed)[0] == 2


def test_a_simulation_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    tally = {
        "contracts": 2, "eligible": 1, "granted": 1, "cost_fen": 100, "amount_fen": 50, "subsidised_fen": 0,
        "missed": [{"clause": "kind", "contracts": 1}],
    }  # fmt: skip
    body = {
        "programme": "p", "version": 1, "years": [tally | {"year": 2026, "pool_left_fen": None}], "requests": tally
    }  # fmt: skip
    code, told = served(monkeypatch, Script(Answer(200, body)), "simulate", "p", "--version", "2")
    assert code == 0
    assert "2026" in told
    assert "kind" in told
