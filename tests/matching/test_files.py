"""Market files: what is read, what is rejected with line and column, and the commands on them from end to end."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.commands.clearing import clearing
from app.matching.files import MarketError, instance_of, read_market
from app.matching.market_columns import COLUMNS
from tests.conftest import SHARED

TABLES = {
    "chips.csv": """
        A100 80G,NVIDIA,312,80,false,A100-class
        910B,Huawei,,,true,""",
    "suppliers.csv": """
        s1,北京,yes
        s2,成都,no""",
    "buyers.csv": """
        b1,startup,1000.50,北京,clean,none
        b2,university,,,flagged,none""",
    "offers.csv": """
        o1,s1,北京,A100 80G,8,8,12,10.00,100,2026-11-02T00:00:00+08:00,2026-11-03T00:30:00+08:00
        o2,s2,成都,910B,4,8,9,8,,2026-11-02T00:00:00+08:00,2026-11-04T00:00:00+08:00""",
    "requests.csv": """
        r1,b1,@00:00:00,any,8,1.2,@00:10:00,@09:00:00,11,2,1,1
        r2,b1,@01:00:00,class:A100-class,8,4,@01:00:00,@09:00:00,6.00,1,2,1
        r3,b2,@02:00:00,domestic|A100 80G,4,2,@02:00:00,@04:30:00,8,1,1,1
        r4,b2,@02:00:00,No Such,4,2,@02:00:00,@03:59:00,8,1,1,1""",
}
ROWS: dict[str, list[list[str]]] = {
    name: [
        [re.sub(r"^@(.*)$", r"2026-11-02T\1+08:00", cell) for cell in line.strip().split(",")]
        for line in text.strip().splitlines()
    ]
    for name, text in TABLES.items()
}


def write_market(
    folder: Path, rows: dict[str, list[list[str]]] | None = None, *, bom: bool = False, end: str = "\n"
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in (rows or ROWS).items():
        with (folder / name).open("w", encoding="utf-8-sig" if bom else "utf-8", newline="") as file:
            csv.writer(file, lineterminator=end).writerows([COLUMNS[name], *lines])
    return folder


def clear(market: Path, out: Path, *arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(
        clearing, ["clear", "--market", str(market), "--out", str(out), "--work-limit", "5", *arguments]
    )
    assert result.exit_code == 0, result.output
    return json.loads(out.read_text(encoding="utf-8"))


def verified(market: Path, out: Path) -> tuple[int, str]:
    result = CliRunner().invoke(clearing, ["verify-clearing", "--market", str(market), str(out)])
    return result.exit_code, result.output


def test_rows_become_an_instance(tmp_path: Path) -> None:
    market = read_market(write_market(tmp_path))
    assert not market.rejected
    instance = instance_of(market, (), None, None)
    first = instance.requests[0]
    # 1.2 hours take 2; the window's ends round inward; 11 CNY x 8 cards x 2 h.
    assert first.alternatives[0].hours == 2
    assert first.alternatives[0].max_net_fen == 11_00 * 8 * 2
    assert first.deadline_hour - first.earliest_hour == 8
    assert [step[1] for step in instance.offers[0].steps] == [8, 0]
    assert instance.offers[0].steps[1][0] - instance.offers[0].steps[0][0] == 24
    assert instance.offers[1].interconnect_gbps is None


@pytest.mark.parametrize(("bom", "end"), [(True, "\n"), (False, "\r\n"), (True, "\r\n")])
def test_byte_order_mark_and_line_ends_do_not_matter(tmp_path: Path, bom: bool, end: str) -> None:
    one = read_market(write_market(tmp_path / "one"))
    assert read_market(write_market(tmp_path / "other", bom=bom, end=end)) == one


@pytest.mark.parametrize(
    ("file", "column", "value", "code"),
    [
        ("requests.csv", "hours", "0", "not_positive"),
        ("requests.csv", "hours", "-1", "not_positive"),
        ("requests.csv", "hours", "20000.1", "limit_hours"),
        ("requests.csv", "cards", "1.5", "not_a_whole_number"),
        ("requests.csv", "cards", "100001", "limit_cards"),
        ("requests.csv", "buyer", "nobody", "unknown_buyer"),
        ("requests.csv", "priority", "0", "limit_priority"),
        ("requests.csv", "min_blocks", "2", "above_blocks"),
        ("requests.csv", "deadline", "2026-11-02T09:00:00", "not_valid"),
        ("requests.csv", "deadline", "2026-11-02T00:00:00+08:00", "window_reversed"),
        ("requests.csv", "max_net_price_cny", "1e3", "not_valid"),
        ("requests.csv", "chips", "A100||", "not_a_selector"),
        ("requests.csv", "request_ref", "", "empty"),
        ("requests.csv", "request_ref", "r2", "duplicate_ref"),
        ("offers.csv", "supplier", "nobody", "unknown_supplier"),
        ("offers.csv", "chip_model", "nothing", "unknown_chip"),
        ("offers.csv", "price_cny", "-1", "not_valid"),
        ("offers.csv", "available_to", "2026-11-01T00:00:00+08:00", "window_reversed"),
        ("buyers.csv", "kind", "bank", "unknown_choice"),
        ("suppliers.csv", "partner", "maybe", "unknown_choice"),
        ("chips.csv", "domestic", "perhaps", "unknown_choice"),
    ],
)
def test_a_malformed_row_is_told_and_the_rest_stays(
    tmp_path: Path, file: str, column: str, value: str, code: str
) -> None:
    rows = {name: [list(row) for row in lines] for name, lines in ROWS.items()}
    rows[file][0][COLUMNS[file].index(column)] = value
    market = read_market(write_market(tmp_path, rows))
    first = next(row for row in market.rejected if row.file == file)
    expected_line = 3 if code == "duplicate_ref" else 2
    assert (first.line, first.column, first.code) == (expected_line, column, code)
    if file == "requests.csv":
        assert len(market.requests) == 3


def test_a_row_of_another_length_is_told(tmp_path: Path) -> None:
    folder = write_market(tmp_path)
    with (folder / "requests.csv").open("a", encoding="utf-8") as file:
        file.write("r9,b1\n")
    assert [(row.line, row.code) for row in read_market(folder).rejected] == [(6, "wrong_cell_count")]


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    folder = write_market(tmp_path / "market")
    text = (folder / "offers.csv").read_text(encoding="utf-8")
    (folder / "offers.csv").write_text(text.replace("price_cny", "prize_cny", 1), encoding="utf-8")
    with pytest.raises(MarketError, match="line 1: unknown column"):
        read_market(folder)
    (folder / "offers.csv").unlink()
    with pytest.raises(MarketError, match=r"offers\.csv"):
        read_market(folder)
    (folder / "offers.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MarketError, match="UTF-8"):
        read_market(folder)


def test_chips_are_looked_up_beside_and_above(tmp_path: Path) -> None:
    deep = write_market(tmp_path / "one" / "two")
    chips = deep / "chips.csv"
    for place in (tmp_path / "one" / "chips.csv", tmp_path / "chips.csv"):
        chips.rename(place)
        chips = place
        assert len(read_market(deep).chips) == 2
    chips.rename(tmp_path / "elsewhere.csv")
    assert len(read_market(deep).chips) > 2  # the shipped catalogue's
    assert len(read_market(deep, tmp_path / "elsewhere.csv").chips) == 2


@pytest.mark.parametrize("method", ["fcfs", "cpsat", "clear"])
def test_clear_and_verify(tmp_path: Path, method: str) -> None:
    market = write_market(tmp_path / "market")
    out = tmp_path / "o.json"
    body = clear(market, out, "--programme", "open-example", "--method", method)
    assert verified(market, out)[0] == 0
    assert body["config"]["as_of"] == "2026-11-01T16:00:00Z"
    assert {row["budget"] for row in body["budgets"]} >= {
        "open-example/pool/2026",
        "open-example/buyer/b1/2026",
    }
    codes = {row["request_ref"]: row["code"] for row in body["unmatched"]}
    assert codes["r4"] == "no_chip"
    subsidised = {row["request_ref"]: row["subsidies"] for row in body["matches"]}
    assert subsidised["r2"] == [{"programme": "open-example", "tier": "general", "amount_fen": 4 * 8 * 5_00}]
    assert str(tmp_path) not in out.read_text(encoding="utf-8")


def test_the_same_file_for_the_same_seed_rows_shuffled_or_not(tmp_path: Path) -> None:
    market = write_market(tmp_path / "market")
    other = write_market(tmp_path / "other", {name: rows[::-1] for name, rows in ROWS.items()})
    one = clear(market, tmp_path / "1.json", "--programme", "open-example", "--seed", "4")
    two = clear(other, tmp_path / "2.json", "--programme", "open-example", "--seed", "4")
    assert one | {"run": None} == two | {"run": None}


def test_limit_requests_and_settings(tmp_path: Path) -> None:
    market = write_market(tmp_path / "market")
    body = clear(
        market, tmp_path / "o.json", "--limit-requests", "2", "--programme", "open-example",
        "--set", "open-example.pool_year_cny=100", "--as-of", "2027-01-01T00:00:00+08:00",
    )  # fmt: skip
    told = {row["request_ref"] for row in body["matches"]} | {row["request_ref"] for row in body["unmatched"]}
    assert told == {"r1", "r2"}
    assert {row["budget"]: row["limit_fen"] for row in body["budgets"]}["open-example/pool/2027"] == 100_00


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--programme", "atlantis"], "atlantis"),
        (["--programme", "open-example", "--set", "open-example.pool=1"], "pool"),
        (["--set", "open-example.pool_year_cny=1"], "open-example"),
        (["--pin", "r9=o1"], "r9"),
        (["--share", "buyer/nobody=0.5"], "nobody"),
        (["--forbid", "nonsense"], "nonsense"),
        (["--time-limit", "5"], "not both"),
        (["--as-of", "yesterday"], "yesterday"),
    ],
)
def test_wrong_arguments_are_named(tmp_path: Path, arguments: list[str], told: str) -> None:
    market = write_market(tmp_path / "market")
    result = CliRunner().invoke(
        clearing,
        ["clear", "--market", str(market), "--out", str(tmp_path / "o"), "--work-limit", "1", *arguments],
        env={"COLUMNS": "200", "TERM": "dumb"},
    )
    assert result.exit_code == 2
    assert told in result.output


def test_contradictory_pins_end_infeasible(tmp_path: Path) -> None:
    market, out = write_market(tmp_path / "market"), tmp_path / "o.json"
    result = CliRunner().invoke(
        clearing, ["clear", "--market", str(market), "--out", str(out), "--work-limit", "1", "--pin", "r1=o2"]
    )
    assert result.exit_code == 1
    body = json.loads(out.read_text(encoding="utf-8"))
    assert (body["status"], body["matches"], body["objective_fen"]) == ("infeasible", [], None)
    assert "r1 on o2" in body["detail"]
    assert verified(market, out)[0] == 0


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("matches", 0, "net_fen"), 1, "net_fen"),
        (("bound_fen",), 1, "bound_fen"),
        (("gap",), 0.5, "gap"),
        (("instance_sha256",), "0", "sha256"),
        (("unmatched", 0, "code"), "no_site", "unmatched"),
        (("rejected_rows",), [{"file": "a", "line": 1, "column": "b", "code": "c", "detail": "d"}], "rejected"),
        (("config",), {}, "not a clearing"),
        (("config", "limit_requests"), 1, "sha256"),
    ],
)
def test_verify_tells_what_is_wrong(tmp_path: Path, path: tuple[Any, ...], value: object, told: str) -> None:
    market, out = write_market(tmp_path / "market"), tmp_path / "o.json"
    body: Any = clear(market, out, "--programme", "open-example")
    at = body
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    out.write_text(json.dumps(body), encoding="utf-8")
    code, output = verified(market, out)
    assert code == 1
    assert told in output


def test_chengdu_on_files(tmp_path: Path) -> None:
    """Half of a contract by a startup with 10 000 000 CNY of revenue, none by one with a cent less; both verify."""
    given: dict[str, list[Any]] = {}
    for revenue in ("10000000", "9999999.99"):
        rows = {name: [list(row) for row in lines] for name, lines in ROWS.items()}
        rows["buyers.csv"][0] = ["b1", "startup", revenue, "成都", "clean", "none"]
        rows["offers.csv"][0][6:8] = ["3000", "2000.00"]
        # 8 cards for 2 hours at 2 000 CNY: a contract of 32 000 CNY.
        rows["requests.csv"][0][8] = "2500"
        market = write_market(tmp_path / revenue, rows)
        out = tmp_path / f"{revenue}.json"
        body = clear(market, out, "--programme", "chengdu-2023")
        [match] = [match for match in body["matches"] if match["request_ref"] == "r1"]
        assert match["net_fen"] == match["cost_fen"] - match["subsidy_fen"] == 3_200_000 - match["subsidy_fen"]
        given[revenue] = match["subsidies"]
        assert verified(market, out)[0] == 0
        assert {budget["budget"] for budget in body["budgets"]} == (
            {"chengdu-2023/pool/2026", "chengdu-2023/buyer/b1/2026"} if match["subsidies"] else set()
        )
        changed = body | {"matches": [each | {"subsidies": []} for each in body["matches"]]}
        out.write_text(json.dumps(changed), encoding="utf-8")
        assert verified(market, out)[0] == (1 if match["subsidies"] else 0)
    assert given == {
        "10000000": [{"programme": "chengdu-2023", "tier": "general", "amount_fen": 1_600_000}],
        "9999999.99": [],
    }


LONG = os.environ.get("CARDHOUR_LONG") == "1"


@pytest.mark.parametrize(
    ("name", "limit", "seconds"),
    [("openb-fleet", "600", "3"), ("mixed-world", "600", "3"), ("philly-cn", "1500", "3")]
    + [pytest.param(n, "1000000", "120", marks=pytest.mark.long) for n in ("openb-fleet", "mixed-world", "philly-cn")],
)
def test_real_markets(tmp_path: Path, name: str, limit: str, seconds: str) -> None:
    """Clears, verifies, is not below first come, and has a finite certified gap."""
    market = SHARED / "data" / "markets" / name
    if not market.is_dir():
        pytest.skip("the real input data (../shared/data) is not here")
    if seconds == "120" and not LONG:
        pytest.skip("it takes minutes: set CARDHOUR_LONG=1")
    common = [
        "--market",
        str(market),
        "--programme",
        "open-example",
        "--limit-requests",
        limit,
        "--time-limit",
        seconds,
    ]
    values: dict[str, int] = {}
    for method in ("fcfs", "clear"):
        out = tmp_path / f"{method}.json"
        result = CliRunner().invoke(clearing, ["clear", *common, "--out", str(out), "--method", method])
        assert result.exit_code == 0, result.output
        body = json.loads(out.read_text(encoding="utf-8"))
        assert not body["rejected_rows"]
        assert 0 <= body["gap"] < 0.5
        values[method] = body["objective_fen"]
        assert verified(market, out)[0] == 0
    assert values["clear"] >= values["fcfs"]
    if seconds == "120" and name == "philly-cn":
        assert values["clear"] >= 1.05 * values["fcfs"]


def test_a_generated_market_with_blocks(tmp_path: Path) -> None:
    generator = SHARED / "reference" / "generate.py"
    if not generator.is_file():
        pytest.skip("the reference generator (../shared/reference) is not here")
    arguments = ["--requests", "60", "--offers", "10", "--hours", "72", "--blocks"]
    made = subprocess.run(
        [sys.executable, str(generator), str(tmp_path / "market"), *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    settings = [part for value in json.loads(made.stdout)["set"] for part in ("--set", value)]
    out = tmp_path / "o.json"
    clear(tmp_path / "market", out, "--programme", "open-example", *settings)
    assert verified(tmp_path / "market", out)[0] == 0
