"""Programme files not seen before: other rates, bands, stacking, claimed by the buyer; no code knows them."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.commands.clearing import clearing
from app.matching.core.codec import instance_from_json, instance_to_json
from app.matching.files import instance_of, read_market
from app.matching.results import read_result
from app.vouchers.facts import ContractFacts, Item, SupplierFacts
from app.vouchers.programmes import load_programme, parse_programme
from app.vouchers.stacking import decide_together
from tests.matching.csv_markets import write_random_market
from tests.matching.test_checker import by_cardhour, by_itself, clear

MARKETS = 60 if os.environ.get("CARDHOUR_LONG") else 8
CITY = """
id = "atlantis-2030"
version = 3
grade = "example"
sources = ["made up for this test"]
time_zone = "Asia/Shanghai"
level = "city"
signed_from = 2026-11-01
base = "settled_usage"
max_term_days = 1
buyer_year_cny = "700"
pool_year_cny = "1500"
partners_only = true
title = {en = "Atlantis", zh = "亚特兰蒂斯"}
suppliers = {not_affiliated = true, batches = ["9"]}
claim = {by = "buyer", cadence = "month", proofs = ["invoice"]}

[[stacks]]
with_level = "national"

[[tiers]]
id = "small"
rate = "0.15"
mode = "up_to"
minimum_voucher_cny = "2"
contract_cap_cny = "120"

[[tiers.rates]]
kinds = ["startup", "sme"]
max_year_contracts_cny = "260.50"
rate = "0.55"

[[tiers.rates]]
domestic = true
min_contract_cny = "30"
rate = "0.35"

[[tiers.clauses]]
integrity = "clean"
clean_years = 2

[[tiers]]
id = "large"
rate = "0.25"
mode = "fixed"
min_contract_cny = "150"
project_total_cny = "400"

[[tiers.clauses]]
kinds = ["enterprise", "university"]
max_prior_year_revenue_cny = "20000000"

[[tiers.clauses]]
project_lead = ["provincial", "national"]
"""
NATION = """
id = "lemuria"
version = 1
grade = "example"
sources = ["made up for this test"]
time_zone = "Asia/Shanghai"
level = "national"
base = "contract"
pool_year_cny = "900"
partners_only = false
title = {en = "Lemuria", zh = "利莫里亚"}
claim = {by = "supplier"}

[[stacks]]
with = "atlantis-2030"
domestic = false
rate = "0.05"
ceiling = "0.4"

[[stacks]]
with = "atlantis-2030"
rate = "0.1"
ceiling = "0.6"

[[tiers]]
id = "all"
rate = "0.2"
mode = "up_to"

[[tiers.rates]]
max_contract_cny = "80"
rate = "0.3"

[[tiers.clauses]]
kinds = ["startup", "sme", "enterprise", "institute", "university"]
"""


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    for name, text in (("atlantis", CITY), ("lemuria", NATION)):
        (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
    return [str(tmp_path / "atlantis.toml"), str(tmp_path / "lemuria.toml")]


def arguments(files: list[str]) -> list[str]:
    return [part for file in files for part in ("--programme", file)]


@pytest.mark.parametrize("method", ["clear", "fcfs", "cpsat"])
@pytest.mark.parametrize("seed", range(MARKETS))
def test_both_checkers_accept_what_every_method_makes(tmp_path: Path, files: list[str], seed: int, method: str) -> None:
    market, out = tmp_path / "market", tmp_path / "out.json"
    write_random_market(market, 7_000 + seed)
    result = clear(market, out, *arguments(files), "--method", method)
    assert (by_itself(market, result), by_cardhour(market, out)) == ("holds", "holds")


def test_every_match_is_what_the_rule_gives(tmp_path: Path, files: list[str]) -> None:
    """No match has more than the rule function says of its contract; some have all that it says."""
    programmes = [load_programme(file) for file in files]
    full = seen = stacked = 0
    for seed in range(MARKETS):
        market, out = tmp_path / f"market-{seed}", tmp_path / f"out-{seed}.json"
        write_random_market(market, 7_000 + seed)
        result = clear(market, out, *arguments(files))
        read, run = read_market(market), read_result(out).run
        assert run.as_of is not None
        offers = {offer.ref: offer for offer in read.offers}
        chips = {chip.name: chip for chip in read.chips}
        requests = {request.ref: request for request in read.requests}
        ids = frozenset(programme.id for programme in programmes)
        for match in (match for match in result["matches"] if match["subsidies"]):
            request, offer = requests[match["request_ref"]], offers[match["offer_ref"]]
            contract = ContractFacts(
                run.as_of,
                (Item("compute", match["cost_fen"]),),
                hours=match["hours"],
                domestic=chips[offer.chip].domestic,
                blocks=request.blocks,
            )
            supplier = SupplierFacts(
                partner_of=ids if offer.supplier in read.partners else frozenset(), affiliated=False
            )
            choices = decide_together(programmes, contract, read.buyers[request.buyer], supplier)
            most = max(choice.amount_fen for choice in choices)
            assert 0 < match["subsidy_fen"] <= most
            seen += 1
            full += match["subsidy_fen"] == most
            stacked += len(match["subsidies"]) == 2
    assert seen >= full > 0
    assert stacked > 0


def test_its_instance_is_written_and_read_back(tmp_path: Path, files: list[str]) -> None:
    write_random_market(tmp_path / "market", 7_001)
    market = read_market(tmp_path / "market")
    programmes = tuple(load_programme(file) for file in files)
    as_of = min(request.submitted_at for request in market.requests)
    instance = instance_of(market, programmes, as_of, None)
    assert any(request.standing for request in instance.requests)
    assert any(component.to_fen is not None for option in instance.options for component in option.components)
    written = json.loads(json.dumps(instance_to_json(instance)))
    assert instance_from_json(written) == instance
    # Instances from before there were standings and sizes say nothing of them.
    plain = instance_to_json(instance_of(market, (load_programme("open-example"),), as_of, None))
    assert all("standing" not in request for request in plain["requests"])
    assert all("to_fen" not in part for option in plain["options"] for part in option["components"])


def test_a_match_beyond_its_size_band_is_refused_by_both(tmp_path: Path, files: list[str]) -> None:
    """A rate that holds for other amounts is named as wrong."""
    for seed in range(40):
        market, out = tmp_path / f"market-{seed}", tmp_path / "out.json"
        write_random_market(market, 7_100 + seed)
        result = clear(market, out, *arguments(files))
        if spoil(result):
            break
    else:
        pytest.fail("no market had such a match")
    out.write_text(json.dumps(result), encoding="utf-8")
    assert by_itself(market, result).startswith("wrong")
    assert by_cardhour(market, out) != "holds"


def spoil(result: dict[str, Any]) -> bool:
    """Give a match under the nation's rate for contracts above 80 CNY the rate of those below."""
    for match in result["matches"]:
        if [subsidy["tier"] for subsidy in match["subsidies"]] == ["all"] and match["cost_fen"] > 8_000:
            [subsidy] = match["subsidies"]
            more = match["cost_fen"] * 3 // 10 - subsidy["amount_fen"]
            subsidy["amount_fen"] += more
            match["subsidy_fen"] += more
            match["net_fen"] -= more
            match["surplus_fen"] += more
            return more > 0
    return False


def test_its_numbers_can_be_set(tmp_path: Path, files: list[str]) -> None:
    market, out = tmp_path / "market", tmp_path / "out.json"
    write_random_market(market, 7_003)
    result = clear(market, out, *arguments(files[:1]), "--set", "atlantis-2030.pool_year_cny=0")
    assert all(not match["subsidies"] for match in result["matches"])
    assert result["config"]["programmes"][0]["pool_year_cny"] == "0"
    assert (by_itself(market, result), by_cardhour(market, out)) == ("holds", "holds")


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("none.toml", None, "can't be read"),
        ("latin.toml", "id = 'é'".encode("latin-1"), "not UTF-8"),
        ("broken.toml", b"id = ", "line 1"),
        ("other.toml", CITY.replace('"0.55"', "0.55").encode(), "tiers.0.rates.0.rate"),
    ],
)
def test_a_file_that_is_no_programme_is_refused(tmp_path: Path, name: str, text: bytes | None, told: str) -> None:
    write_random_market(tmp_path / "market", 7_004)
    if text is not None:
        (tmp_path / name).write_bytes(text)
    found = CliRunner().invoke(
        clearing,
        [
            *("clear", "--market", str(tmp_path / "market"), "--out", str(tmp_path / "out.json")),
            *("--programme", str(tmp_path / name)),
        ],
    )
    assert found.exit_code == 2
    assert told in found.output


def test_two_files_of_one_programme_are_refused(tmp_path: Path, files: list[str]) -> None:
    write_random_market(tmp_path / "market", 7_004)
    (tmp_path / "again.toml").write_text(CITY, encoding="utf-8")
    found = CliRunner().invoke(
        clearing,
        [
            *("clear", "--market", str(tmp_path / "market"), "--out", str(tmp_path / "out.json")),
            *("--programme", files[0], "--programme", str(tmp_path / "again.toml")),
        ],
    )
    assert found.exit_code == 2
    assert "given twice" in found.output


def test_the_checker_refuses_rules_it_does_not_know(tmp_path: Path, files: list[str]) -> None:
    write_random_market(tmp_path / "market", 7_001)
    result = clear(tmp_path / "market", tmp_path / "out.json", *arguments(files))
    result["config"]["programmes"][0]["tiers"][0]["rates"][0]["moon_phase"] = "full"
    assert "moon_phase" in by_itself(tmp_path / "market", result)


def test_the_file_is_read_back_from_a_clearings_config() -> None:
    for text in (CITY, NATION):
        programme = parse_programme(text, "file")
        assert type(programme).model_validate(json.loads(json.dumps(programme.numbers()))) == programme
