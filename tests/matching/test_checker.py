"""The checker that is one file: it needs nothing but NumPy, agrees with `verify-clearing`, and misses nothing."""

import ast
import copy
import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.commands.clearing import clearing
from app.matching.standalone import check_clearing
from tests.matching.csv_markets import write_random_market

SCRIPT = Path(check_clearing.__file__)
SAMPLE = Path(__file__).resolve().parents[2] / "app" / "demo" / "market"
CATALOGUE = SAMPLE.parents[1] / "catalog" / "data" / "chips.csv"
MARKETS = 300 if os.environ.get("CARDHOUR_LONG") else 24
Json = dict[str, Any]


def clear(market: Path, out: Path, *arguments: str, work: int = 2) -> Json:
    """The result, whatever its status."""
    found = CliRunner().invoke(
        clearing, ["clear", "--market", str(market), "--out", str(out), "--work-limit", str(work), *arguments]
    )
    assert isinstance(found.exception, SystemExit | None), found.exc_info
    assert found.exit_code in {0, 1}, found.output
    return json.loads(out.read_text(encoding="utf-8"))


def by_itself(market: Path, result: Json) -> str:
    """What the checker says: `holds`, or what is wrong."""
    try:
        chips = None if (market / "chips.csv").exists() else CATALOGUE
        check_clearing.check_clearing(market, result, chips, None, lambda _: None)
    except (check_clearing.WrongClearingError, KeyError, TypeError, ValueError) as wrong:
        return f"wrong: {wrong}"
    return "holds"


def by_cardhour(market: Path, file: Path) -> str:
    found = CliRunner().invoke(clearing, ["verify-clearing", "--market", str(market), str(file)])
    assert found.exit_code in {0, 1}, found.output
    return "holds" if found.exit_code == 0 else found.output


def test_it_imports_the_standard_library_and_numpy_only() -> None:
    tree = ast.parse(SCRIPT.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "." for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} - sys.stdlib_module_names == {"numpy"}


def test_it_runs_where_cardhour_is_not(tmp_path: Path) -> None:
    """In an isolated interpreter that finds nothing but the standard library and a copy of NumPy."""
    assert CliRunner().invoke(clearing, ["checker", "--out", str(tmp_path / "checker")]).exit_code == 0
    import numpy as np  # noqa: PLC0415

    packages = Path(np.__file__).parents[1]
    for name in ("numpy", "numpy.libs"):
        if (packages / name).exists():
            (tmp_path / "only").mkdir(exist_ok=True)
            (tmp_path / "only" / name).symlink_to(packages / name)
    result = clear(SAMPLE, tmp_path / "o.json", "--programme", "open-example")
    script = tmp_path / "checker" / "check_clearing.py"
    program = f"import runpy, sys; sys.path.append({str(tmp_path / 'only')!r}); del sys.argv[0]; "
    program += "runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        program,
        str(script),
        "--market",
        str(SAMPLE),
        str(tmp_path / "o.json"),
    ]
    good = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (good.returncode, good.stdout.startswith("holds: ")) == (0, True), good.stdout + good.stderr
    result["objective_fen"] += 1
    (tmp_path / "o.json").write_text(json.dumps(result), encoding="utf-8")
    bad = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (bad.returncode, bad.stdout.startswith("wrong: ")) == (1, True)


@pytest.mark.parametrize("seed", range(MARKETS))
def test_both_checkers_accept_what_the_engine_makes(tmp_path: Path, seed: int) -> None:
    arguments = write_random_market(tmp_path / "market", seed)
    for method in ("clear", "fcfs", "cpsat"):
        out = tmp_path / f"{method}.json"
        result = clear(tmp_path / "market", out, "--method", method, *arguments)
        assert by_itself(tmp_path / "market", result) == "holds"
        assert by_cardhour(tmp_path / "market", out) == "holds"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Json]:
    """The sample market and a row that is refused, cleared with a pin, a forbidden pair, shares, both programmes."""
    folder = tmp_path_factory.mktemp("good")
    market = shutil.copytree(SAMPLE, folder / "market")
    with (market / "requests.csv").open("a", encoding="utf-8") as file:
        file.write("odd,nobody,2026-12-01T00:00:00Z,any,1,1,2026-12-01T00:00:00Z,2026-12-02T00:00:00Z,1.00,1,1,1\n")
    result = clear(
        market, folder / "o.json", "--programme", "open-example", "--programme", "chengdu-2023",
        "--set", "chengdu-2023.general.minimum_voucher_cny=100", "--set", "chengdu-2023.pool_year_cny=50000",
        "--pin", "request-10=offer-01", "--forbid", "request-24=offer-01",
        "--share", "supplier/示例智算中心一=0.2", "--share", "buyer/示例中小企业一=0.05", work=5,
    )  # fmt: skip
    assert result["status"] == "feasible"
    assert by_itself(market, result) == "holds"
    return market, result


def request_ref(row: Json) -> str:
    return row["request_ref"]


def match_with_subsidy(result: Json) -> Json:
    return next(match for match in result["matches"] if match["subsidies"])


def change_of(result: Json, kind: str) -> Json:
    return next(change for row in result["unmatched"] for change in row["changes"] if change["change"] == kind)


def alter(*path: str | int, by: Callable[[Any], Any]) -> Callable[[Json], None]:
    def mutate(result: Json) -> None:
        at: Any = result
        for part in path[:-1]:
            at = at[part]
        at[path[-1]] = by(at[path[-1]])

    return mutate


def set_at(*path: str | int, to: object) -> Callable[[Json], None]:
    return alter(*path, by=lambda _: to)


def move_start(match: Json, hours: int) -> None:
    moment = check_clearing.parse_time(match["start"]) + hours * check_clearing.HOUR
    match["start"] = moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def shift_subsidy(result: Json) -> None:
    """One fen more of subsidy, with every sum of the match adjusted."""
    match = match_with_subsidy(result)
    match["subsidies"][0]["amount_fen"] += 1
    match["subsidy_fen"] += 1
    match["net_fen"] -= 1
    match["surplus_fen"] += 1


def add_change(**change: Any) -> Callable[[Json], None]:
    return lambda result: result["config"]["offer_changes"].append(change)


def drop_match(result: Json) -> None:
    """A match less with everything else as it was."""
    del result["matches"][0]


def swap_offers(result: Json) -> None:
    first, *others = result["matches"]
    other = next(match for match in others if match["offer_ref"] != first["offer_ref"])
    first["offer_ref"], other["offer_ref"] = other["offer_ref"], first["offer_ref"]


MUTATIONS: dict[str, Callable[[Json], None]] = {
    "instance_sha256 is no SHA-256": set_at("instance_sha256", to="0"),
    "status": set_at("status", to="optimal"),
    "status unknown": set_at("status", to="perfect"),
    "status without outcome": set_at("status", to="timeout"),
    "objective_fen": alter("objective_fen", by=lambda value: value + 1),
    "bound_fen above": alter("bound_fen", by=lambda value: value + 1),
    "bound_fen below": alter("bound_fen", by=lambda value: value - 1),
    "gap": set_at("gap", to=0.0),
    "solver_bound_fen": set_at("solver_bound_fen", to=1),
    "objective's value": alter("objectives", 0, "value", by=lambda value: value - 1),
    "objective's bound": alter("objectives", 0, "bound", by=lambda value: value - 1),
    "objective's name": set_at("objectives", 0, "name", to="coverage"),
    "match: request": set_at("matches", 0, "request_ref", to="request-59"),
    "match: no such request": set_at("matches", 0, "request_ref", to="nobody"),
    "match: offer": set_at("matches", 0, "offer_ref", to="offer-02"),
    "match: offers swapped": swap_offers,
    "match: block": set_at("matches", 0, "block", to=1),
    "match: earlier": lambda result: move_start(result["matches"][0], -24 * 30),
    "match: later": lambda result: move_start(result["matches"][0], 24 * 30),
    "match: half an hour": alter("matches", 0, "start", by=lambda start: start.replace(":00:00Z", ":30:00Z")),
    "match: hours": alter("matches", 0, "hours", by=lambda hours: hours + 1),
    "match: cards": alter("matches", 0, "cards", by=lambda cards: cards + 1),
    "match: cost": alter("matches", 0, "cost_fen", by=lambda cost: cost - 1),
    "match: net": alter("matches", 0, "net_fen", by=lambda net: net - 1),
    "match: surplus": alter("matches", 0, "surplus_fen", by=lambda surplus: surplus + 1),
    "match: subsidy sum": alter("matches", 0, "subsidy_fen", by=lambda subsidy: subsidy + 1),
    "match: a fen more": shift_subsidy,
    "match: tier": lambda result: match_with_subsidy(result)["subsidies"][0].update(tier="project-lead-national"),
    "match: programme": lambda result: match_with_subsidy(result)["subsidies"][0].update(programme="beijing-2023"),
    "match: dropped": drop_match,
    "match: twice": lambda result: result["matches"].append(dict(result["matches"][0])),
    "match: a float": alter("matches", 0, "cost_fen", by=float),
    "unmatched: dropped": lambda result: result["unmatched"].pop(),
    "unmatched: blocks": alter("unmatched", 0, "blocks_unmatched", by=lambda blocks: blocks + 1),
    "unmatched: code": set_at("unmatched", 0, "code", to="over_budget"),
    "unmatched: no such code": set_at("unmatched", 0, "code", to="bad_luck"),
    "change: a larger price": lambda result: change_of(result, "price").update(to=change_of(result, "price")["to"] + 1),
    "change: a smaller price": lambda result: change_of(result, "price").update(to=change_of(result, "price")["from"]),
    "change: price from": lambda result: change_of(result, "price").update({"from": 1}),
    "change: fewer cards": lambda result: change_of(result, "cards").update(to=change_of(result, "cards")["to"] - 1),
    "change: deadline": lambda result: change_of(result, "deadline").update(to="2026-12-31T00:00:00Z"),
    "change: offer": lambda result: change_of(result, "price").update(offer_ref="offer-99"),
    "change: start": lambda result: move_start(change_of(result, "price"), 24 * 60),
    "change: chips": lambda result: change_of(result, "chips").update(to="class:none such"),
    "rejected row dropped": set_at("rejected_rows", to=[]),
    "rejected row's line": set_at("rejected_rows", 0, "line", to=2),
    "budget: used": alter("budgets", 0, "used_fen", by=lambda used: used + 1),
    "budget: limit": alter("budgets", 0, "limit_fen", by=lambda limit: limit + 1),
    "budget: name": set_at("budgets", 0, "budget", to="open-example/pool/1999"),
    "budget: shadow price": alter("budgets", 0, "shadow_price_micro", by=lambda price: price + 1),
    "dual: lambda": lambda result: result["duals"]["capacity"][0]["runs"][0].__setitem__(2, 10**9),
    "dual: negative": lambda result: result["duals"]["capacity"][0]["runs"][0].__setitem__(2, -1),
    "dual: hours": lambda result: result["duals"]["capacity"][0]["runs"][0].__setitem__(1, 0),
    "dual: overlapping": lambda result: result["duals"]["capacity"][0]["runs"].append(
        result["duals"]["capacity"][0]["runs"][0]
    ),
    "dual: offer": lambda result: result["duals"]["capacity"][0].update(offer_ref="offer-99"),
    "dual: rounding": lambda result: result["duals"]["capacity"][0].update(b=0),
    "dual: budget": lambda result: result["duals"]["budgets"][0].update(mu=result["duals"]["budgets"][0]["mu"] + 10**7),
    "config: objective": set_at("config", "objective", to="coverage"),
    "config: kappa": set_at("config", "kappa_ppm", to=500_000),
    "config: pin": set_at("config", "pins", 0, "offer_ref", to="offer-02"),
    "config: forbid": lambda result: result["config"]["forbids"].append(
        {key: result["matches"][0][key] for key in ("request_ref", "offer_ref")}
    ),
    "config: share": set_at("config", "shares", 0, "share_ppm", to=1),
    "config: pool": lambda result: result["config"]["programmes"][0].update(pool_year_cny="1"),
    "config: as of": set_at("config", "as_of", to="2027-06-01T00:00:00Z"),
    "config: limit": set_at("config", "limit_requests", to=3),
    "config: offer changed": add_change(name="offer/offer-01", price_ppm=900_000),
    "config: supplier changed": add_change(name="supplier/示例智算中心一", add_cards=-1),
    "config: no such offer": add_change(name="offer/offer-99", cards_ppm=0),
    "config: two prices": add_change(name="offer/offer-01", price_ppm=1, price_fen=1),
    "config: no change": add_change(name="offer/offer-01"),
    "config: a float": add_change(name="offer/offer-01", price_fen=1.0),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_both_checkers_refuse_what_was_changed(good: tuple[Path, Json], tmp_path: Path, name: str) -> None:
    market, result = good
    changed = copy.deepcopy(result)
    MUTATIONS[name](changed)
    assert json.dumps(changed) != json.dumps(result)
    (tmp_path / "o.json").write_text(json.dumps(changed), encoding="utf-8")
    assert by_itself(market, changed).startswith("wrong"), "the checker that is one file"
    assert by_cardhour(market, tmp_path / "o.json") != "holds", "`cardhour verify-clearing`"


def test_both_checkers_refuse_a_match_given_up(tmp_path: Path) -> None:
    """A match less, and everything else as it would then be: only that the request still fits is wrong."""
    result = clear(SAMPLE, tmp_path / "o.json")
    assert by_itself(SAMPLE, result) == "holds"
    placed = [match["request_ref"] for match in result["matches"]]
    match = next(match for match in result["matches"] if placed.count(match["request_ref"]) == 1)
    result["matches"].remove(match)
    row = {
        "request_ref": match["request_ref"],
        "blocks_unmatched": 1,
        "code": "outbid",
        "detail": "The acceptable capacity went to other requests.",
        "changes": [],
    }
    result["unmatched"] = sorted([*result["unmatched"], row], key=request_ref)
    with (SAMPLE / "requests.csv").open(encoding="utf-8") as file:
        weight = next(
            int(row["priority"]) for row in csv.DictReader(file) if row["request_ref"] == match["request_ref"]
        )
    result["objective_fen"] -= weight * match["surplus_fen"]
    result["objectives"][0]["value"] = result["objective_fen"]
    result["gap"] = (result["bound_fen"] - result["objective_fen"]) / result["bound_fen"]
    result["status"] = "feasible"
    (tmp_path / "o.json").write_text(json.dumps(result), encoding="utf-8")
    assert "still fits" in by_itself(SAMPLE, result)
    assert "still fits" in by_cardhour(SAMPLE, tmp_path / "o.json")
