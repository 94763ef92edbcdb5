"""The sample market is what its generator makes, and what a sample should be."""

import csv
import re
from collections import defaultdict
from datetime import datetime

from app.demo.generate import HOURS, MARKET, ORIGIN, generate, numeral

FILES = generate()


def rows(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(FILES[name].splitlines()))


def hours(text: str) -> float:
    return (datetime.fromisoformat(text) - ORIGIN).total_seconds() / 3600


def chips() -> dict[str, dict[str, str]]:
    path = MARKET.parents[1] / "catalog" / "data" / "chips.csv"
    return {row["chip_model"]: row for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines())}


def test_the_committed_files_are_what_the_generator_makes() -> None:
    assert {path.name: path.read_text(encoding="utf-8") for path in MARKET.glob("*.csv")} == FILES


def test_every_name_is_plainly_made_up() -> None:
    suppliers = [row["supplier"] for row in rows("suppliers.csv")]
    buyers = [row["buyer"] for row in rows("buyers.csv")]
    assert len(suppliers) == 12
    assert 30 <= len(buyers) <= 40
    for name in suppliers + buyers:
        assert re.fullmatch(r"示例(智算中心|初创|中小企业|研究院)[一二三四五六七八九十]+", name), name
    assert {row["supplier"] for row in rows("offers.csv")} == set(suppliers)
    assert {row["buyer"] for row in rows("requests.csv")} <= set(buyers)


def test_numerals() -> None:
    assert [numeral(n) for n in (1, 9, 10, 11, 20, 22, 99)] == ["一", "九", "十", "十一", "二十", "二十二", "九十九"]


def test_offers_are_at_half_to_six_tenths_of_a_published_list_price() -> None:
    known = chips()
    for row in rows("offers.csv"):
        ratio = float(row["price_cny"]) / float(row["list_price_cny"])
        assert 0.495 <= ratio <= 0.605, row
        assert known[row["chip_model"]]["class"] != "unclassified"
        if known[row["chip_model"]]["class"] == "A100-class":
            assert 15 <= float(row["list_price_cny"]) <= 20, row


def test_the_earliest_moment_is_the_origin_so_that_the_import_starts_at_the_present() -> None:
    moments = [row[name] for row in rows("offers.csv") for name in ("available_from", "available_to")]
    moments += [row[name] for row in rows("requests.csv") for name in ("submitted_at", "earliest_start", "deadline")]
    assert min(map(hours, moments)) == 0
    assert max(map(hours, moments)) == HOURS


def test_one_chip_class_is_scarce_and_not_all_are() -> None:
    known = chips()
    supply, demand = defaultdict[str, float](float), defaultdict[str, float](float)
    for row in rows("offers.csv"):
        span = hours(row["available_to"]) - hours(row["available_from"])
        supply[known[row["chip_model"]]["class"]] += int(row["cards"]) * span
    for row in rows("requests.csv"):
        if row["chips"].startswith("class:"):
            demand[row["chips"].removeprefix("class:")] += int(row["cards"]) * float(row["hours"]) * int(row["blocks"])
    assert demand["H100-class"] > 1.5 * supply["H100-class"]
    assert demand["V100-class"] < supply["V100-class"]


def test_it_holds_every_kind_of_request() -> None:
    requests = rows("requests.csv")
    largest = max(int(row["cards"]) for row in rows("offers.csv"))
    assert len(requests) == 60
    assert len({row["request_ref"] for row in requests}) == 60
    assert any(int(row["blocks"]) > int(row["min_blocks"]) > 1 for row in requests)
    assert any(int(row["cards"]) > largest for row in requests), "one is too large"
    assert any("." in row["hours"] for row in requests), "some hours are fractional"
    tight = [row for row in requests if hours(row["deadline"]) - hours(row["earliest_start"]) < float(row["hours"])]
    assert tight, "one window is too short"
    assert all(1 <= int(row["min_blocks"]) <= int(row["blocks"]) for row in requests)
