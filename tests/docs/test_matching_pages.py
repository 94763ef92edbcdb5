"""The pages of the clearing's model: what they name in the code is there, and their pictures show what they say."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.docs.runner import ROOT
from tools.officials_pictures import (
    BOUND,
    CARDS,
    CLEARED,
    CONGESTION,
    FIRST_COME,
    HOURS,
    IMAGES,
    IN_ORDER,
    TOGETHER,
    Place,
    bound_at,
    pictures,
    total,
)

CORE = ROOT / "app" / "matching" / "core"
PAGES = sorted((ROOT / "docs" / "matching").glob("*.md"))
OFFICIALS = ("for-officials.md", "for-officials.zh-CN.md")
_NAMED = re.compile(r"`core\.(?P<module>[a-z_]+)(?:\.(?P<name>\w+))?(?:\.(?P<member>\w+))?`")
_IMAGE = re.compile(r"!\[[^\]]+\]\((?P<target>[^)]+)\)")


@cache
def _defined(path: Path) -> frozenset[str]:
    """Names that a module defines, members of classes as `Class.member`."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found.add(node.name)
            found |= {f"{node.name}.{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
    return frozenset(found)


def _missing(text: str) -> list[str]:
    found: list[str] = []
    for match in _NAMED.finditer(text):
        path = CORE / f"{match['module']}.py"
        name = ".".join(part for part in (match["name"], match["member"]) if part)
        if not path.is_file() or (name and name not in _defined(path)):
            found.append(match[0])
    return found


@pytest.mark.parametrize("path", PAGES, ids=[path.name for path in PAGES])
def test_what_a_page_names_is_in_the_code(path: Path) -> None:
    assert _missing(path.read_text(encoding="utf-8")) == []


def test_a_name_that_is_not_there_is_noticed() -> None:
    there = "`core.rows` `core.rows.feel` `core.prices.PriceSearch.refine`"
    gone = "`core.rows.gone` `core.gone` `core.rows.Rows.gone`"
    assert _missing(f"{there} {gone}") == ["`core.rows.gone`", "`core.gone`", "`core.rows.Rows.gone`"]


def test_each_family_of_constraints_has_a_page_that_names_its_rule() -> None:
    pages = {path.stem: path.read_text(encoding="utf-8") for path in PAGES}
    families = {name for name in _defined(CORE / "constraints.py") if not name.startswith("_")} - {"budget_use"}
    page_of = {"columns": "README", "pins": "pins-and-forbids", "forbids": "pins-and-forbids"}
    assert families
    for family in sorted(families):
        assert f"`core.constraints.{family}`" in pages[page_of.get(family, family)], family


def test_the_index_leads_to_every_page() -> None:
    index = (ROOT / "docs" / "matching" / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in PAGES if path.name != "README.md" and f"]({path.name})" not in index] == []


@pytest.mark.parametrize("name", OFFICIALS)
def test_pictures_are_there_in_the_page_s_language(name: str) -> None:
    path = ROOT / "docs" / "matching" / name
    targets = [match["target"] for match in _IMAGE.finditer(path.read_text(encoding="utf-8"))]
    assert len(targets) == len(set(targets)) == 3
    for target in targets:
        assert (path.parent / target).is_file(), target
        assert target.endswith(".zh-CN.svg") == name.endswith(".zh-CN.md"), target


@pytest.mark.parametrize(("name", "svg"), sorted(pictures().items()))
def test_a_picture_is_as_it_is_drawn(name: str, svg: str) -> None:
    assert (IMAGES / name).read_text(encoding="utf-8") == svg, "run python -m tools.officials_pictures"


def _fits(places: tuple[Place, ...]) -> bool:
    taken = [
        (hour, card)
        for place in places
        for hour in range(place.start, place.start + place.need.hours)
        for card in range(place.card, place.card + place.need.cards)
    ]
    inside = all(0 <= hour < HOURS and 0 <= card < CARDS for hour, card in taken)
    return inside and len(taken) == len(set(taken))


def test_the_example_adds_up() -> None:
    assert _fits(IN_ORDER)
    assert _fits(TOGETHER)
    assert total(IN_ORDER) == (78, 270)
    assert total(TOGETHER) == (CARDS * HOURS, 594)
    # The price shown proves that nothing is better; one outside its range proves less.
    assert bound_at(CONGESTION) == 594 < bound_at(CONGESTION + 3)


@pytest.mark.parametrize("name", OFFICIALS)
def test_the_sample_market_s_figures_are_those_of_the_clearing_page(name: str) -> None:
    page = (ROOT / "docs" / "matching" / name).read_text(encoding="utf-8")
    clearing = (ROOT / "docs" / "clearing.md").read_text(encoding="utf-8")
    assert f"| {FIRST_COME:,} | {CLEARED:,} |" in clearing
    bound = re.search(r"^bound +([\d,]+)$", clearing, re.MULTILINE)
    assert bound is not None
    assert round(int(bound[1].replace(",", "")) / 100) == BOUND
    assert all(f"{value:,}" in page for value in (FIRST_COME, CLEARED, BOUND))
