"""`cardhour plot`: the sample market's clearing drawn, alike each time, and what can't be drawn refused."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from app.commands.clearing import clearing
from app.commands.plotting import plotting
from app.demo.generate import MARKET
from app.matching.core.config import SolverConfig
from app.matching.core.instance import Instance
from app.matching.core.outcome import Match
from app.matching.files import instance_of, read_market
from app.matching.results import Result as Cleared
from app.matching.results import Run, read_result
from app.reports.clearing_plot import draw_clearing, render_clearing
from app.reports.lanes import class_use, lanes, window_of

ROOT = Path(__file__).resolve().parents[2]


def plot(*arguments: object) -> Result:
    return CliRunner().invoke(plotting, [str(each) for each in arguments], env={"COLUMNS": "300"})


@pytest.fixture(scope="module")
def cleared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cleared") / "o.json"
    options = ["--programme", "open-example", "--method", "fcfs", "--work-limit", "3", "--out", str(path)]
    done = CliRunner().invoke(clearing, ["clear", "--market", str(MARKET), *options])
    assert done.exit_code == 0, done.output
    return path


@pytest.fixture(scope="module")
def read(cleared: Path) -> tuple[Cleared, Instance]:
    result = read_result(cleared)
    run = result.run
    return result, instance_of(read_market(MARKET), run.programmes, run.as_of, run.limit_requests)


def test_an_svg_is_the_same_each_time_and_carries_no_date(cleared: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a.svg", tmp_path / "b.svg"
    for path in (first, second):
        done = plot("--market", MARKET, cleared, "--out", path)
        assert done.exit_code == 0, done.output
    assert first.read_bytes() == second.read_bytes()
    assert ET.fromstring(first.read_text(encoding="utf-8")).tag.endswith("svg")  # noqa: S314  our own file
    assert "dc:date" not in first.read_text(encoding="utf-8")


def test_a_png(cleared: Path, tmp_path: Path) -> None:
    path = tmp_path / "o.PNG"
    assert plot("--market", MARKET, cleared, "--out", path).exit_code == 0
    assert path.read_bytes().startswith(b"\x89PNG")


def test_no_card_is_drawn_twice_and_none_is_left_out(read: tuple[Cleared, Instance]) -> None:
    result, instance = read
    outcome = result.outcome
    for lane in lanes(instance, outcome, 100):
        window = window_of(instance, outcome)
        grid = np.zeros((lane.cards, window.hours), dtype=int)
        for bar in lane.bars:
            first = bar.match.start_hour - window.first
            grid[bar.card : bar.card + bar.cards, first : first + bar.match.hours] += 1
        assert grid.max() == 1
        matched = sum(m.cards * m.hours for m in outcome.matches if m.offer == lane.offer.ref)
        assert grid.sum() == matched


def test_use_capacity_and_price_by_class(read: tuple[Cleared, Instance]) -> None:
    result, instance = read
    window = window_of(instance, result.outcome)
    uses = class_use(instance, result.outcome, window, 100)
    assert sum(use.used.sum() for use in uses) == sum(m.cards * m.hours for m in result.outcome.matches)
    assert all((use.used <= use.capacity).all() and (use.price >= 0).all() for use in uses)
    assert any(use.price.any() for use in uses)
    totals = [use.used.sum() for use in uses]
    assert totals == sorted(totals, reverse=True)


def test_names_that_no_font_can_draw_and_mathematics_are_harmless(
    read: tuple[Cleared, Instance], tmp_path: Path
) -> None:
    result, instance = read
    names = {offer.ref: f"{offer.ref} $x_{{ 示例 \U0001f9ea\n𓂀" for offer in instance.offers}
    offers = tuple(replace(offer, ref=names[offer.ref]) for offer in instance.offers)
    chips = tuple(replace(chip, chip_class="国产\U0001f9ea") for chip in instance.chips)
    matches = tuple(replace(m, offer=names[m.offer], request="需求 $") for m in result.outcome.matches)
    duals = replace(
        result.outcome.duals,
        capacity=tuple(replace(row, offer=names[row.offer]) for row in result.outcome.duals.capacity),
    )
    renamed = replace(instance, offers=offers, chips=chips)
    draw_clearing(renamed, result.run, replace(result.outcome, matches=matches, duals=duals), tmp_path / "o.svg")
    assert (tmp_path / "o.svg").stat().st_size > 10_000


def test_nothing_matched_is_drawn_too(read: tuple[Cleared, Instance], tmp_path: Path) -> None:
    result, instance = read
    nothing = replace(result.outcome, matches=())
    draw_clearing(instance, Run(SolverConfig(), (), None, None), nothing, tmp_path / "o.png")
    assert (tmp_path / "o.png").exists()


def test_a_match_that_finds_no_stretch_is_drawn_in_pieces(read: tuple[Cleared, Instance]) -> None:
    result, instance = read
    offer = next(each for each in instance.offers if each.ref == "offer-05")  # 8 cards
    start = offer.steps[0][0]

    def match(request: str, at: int, hours: int, cards: int) -> Match:
        return Match(request, 0, 0, offer.ref, start + at, hours, cards, 0, (), 0)

    matches = (match("a", 0, 2, 2), match("b", 0, 9, 4), match("c", 0, 2, 2), match("d", 2, 4, 4))
    (lane,) = lanes(instance, replace(result.outcome, matches=matches), 1)
    assert [(bar.card, bar.cards) for bar in lane.bars if bar.match.request == "d"] == [(4, 4)]
    matches = (match("a", 0, 2, 3), match("b", 0, 9, 2), match("c", 0, 2, 3), match("d", 2, 4, 6))
    (lane,) = lanes(instance, replace(result.outcome, matches=matches), 1)
    assert sum(bar.cards for bar in lane.bars if bar.match.request == "d") == 6


def altered(cleared: Path, tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "altered.json"
    path.write_text(json.dumps(json.loads(cleared.read_text(encoding="utf-8")) | changes), encoding="utf-8")
    return path


def test_bad_input_is_refused_in_one_line(cleared: Path, tmp_path: Path) -> None:
    picture = tmp_path / "o.svg"
    (tmp_path / "not.json").write_text("[]", encoding="utf-8")
    ended = altered(cleared, tmp_path, status="timeout", matches=[])
    for arguments, told in (
        ((cleared, "--out", tmp_path / "o.pdf"), "o.pdf ends neither in .svg nor in .png"),
        ((tmp_path / "not.json", "--out", picture), "not.json is not a clearing's file"),
        ((tmp_path / "gone.json", "--out", picture), "gone.json: No such file"),
        ((ended, "--out", picture), "has nothing to show: the run ended timeout"),
        ((cleared, "--out", tmp_path / "no" / "o.svg"), "No such file or directory"),
    ):
        done = plot("--market", MARKET, *arguments)
        assert done.exit_code == 2, done.output
        assert f"refused: {told}" in done.output or told in done.output
    assert not picture.exists()


def test_another_market_and_a_result_that_does_not_hold_are_refused(cleared: Path, tmp_path: Path) -> None:
    other = altered(cleared, tmp_path, instance_sha256="0" * 64)
    assert "the market gives" in plot("--market", MARKET, other, "--out", tmp_path / "o.svg").output
    body = json.loads(cleared.read_text(encoding="utf-8"))
    false = altered(cleared, tmp_path, bound_fen=body["bound_fen"] + 1)
    done = plot("--market", MARKET, false, "--out", tmp_path / "o.svg")
    assert done.exit_code == 2
    assert "bound_fen is" in done.output or "gap" in done.output


def test_without_matplotlib_the_extra_is_named(cleared: Path, tmp_path: Path) -> None:
    code = "import sys; sys.modules['matplotlib'] = None; from app.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "plot", "--market", str(MARKET), str(cleared), "--out", str(tmp_path / "o.svg")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "pip install 'cardhour[plot]'" in done.stderr


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_a_picture_of_a_large_market_stays_small(read: tuple[Cleared, Instance], kind: str) -> None:
    """A year of hours that all differ, and more matches on each offer than could be told apart."""
    result, instance = read
    begin, hours = instance.offers[0].steps[0][0], 24 * 365
    steps = tuple((begin + hour, 50 + hour % 7) for hour in range(hours))
    offers = tuple(replace(offer, steps=(*steps, (begin + hours, 0))) for offer in instance.offers[:12])
    matches = tuple(
        Match(f"r{at}", 0, 0, offer.ref, begin + at * 7, 7, 5, 0, (), 0) for offer in offers for at in range(1_200)
    )
    outcome = replace(result.outcome, matches=matches)
    picture = render_clearing(replace(instance, offers=offers), result.run, outcome, kind)
    assert len(picture) < 2 * 1024**2
