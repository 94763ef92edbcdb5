"""`cardhour clear --offer-set`, `--against` and `cardhour prices` on market files."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from app.commands.clearing import clearing
from app.commands.pricing import pricing
from app.commands.what_ifs import parse_offer_changes
from app.demo.generate import MARKET
from app.matching.core.codec import canonical_json
from app.matching.core.what_if import OfferChange
from app.matching.files import instance_of, read_market
from app.matching.results import read_result
from tests.matching.test_files import write_market


def invoke(app: typer.Typer, *arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments], env={"COLUMNS": "300"})


def clear(market: Path, out: Path, *arguments: object) -> Result:
    return invoke(clearing, "clear", "--market", market, "--out", out, "--work-limit", "2", *arguments)


def body(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_market(tmp_path_factory.mktemp("market"))


@pytest.fixture(scope="module")
def base(market: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("base") / "base.json"
    done = clear(market, path)
    assert done.exit_code == 0, done.output
    return path


def test_every_spelling_of_a_change() -> None:
    given = ["offer/a.b=c.price=8.50", "offer/a.b=c.cards=-16", "supplier/s.price=+10%", "supplier/s.cards=-100%"]
    given += ["offer/x.price=-2.5%", "offer/x.cards=+50%", "offer/y.cards=+3"]
    assert parse_offer_changes(given) == (
        OfferChange("offer/a.b=c", price_fen=850, add_cards=-16),
        OfferChange("offer/x", price_ppm=975_000, cards_ppm=1_500_000),
        OfferChange("offer/y", add_cards=3),
        OfferChange("supplier/s", price_ppm=1_100_000, cards_ppm=0),
    )


@pytest.mark.parametrize(
    "text",
    ["o1.price=8", "offer/o1=8", "offer/o1.colour=8", "offer/o1.price=", "offer/o1.price=8.123", "offer/o1.price=x%",
     "offer/o1.price=+8", "offer/o1.cards=8", "offer/o1.cards=+1.5", "offer/o1.cards=+x", "offer/o1.price=+0.00001%",
     "offer/o1.price=10%"],
)  # fmt: skip
def test_a_change_that_is_none_is_named(market: Path, tmp_path: Path, text: str) -> None:
    done = clear(market, tmp_path / "o.json", "--offer-set", text)
    assert done.exit_code == 2
    assert f"--offer-set {text}" in done.output
    assert not (tmp_path / "o.json").exists()


def test_a_change_set_twice_and_an_unknown_offer_are_named(market: Path, tmp_path: Path) -> None:
    twice = clear(market, tmp_path / "o.json", "--offer-set", "offer/o1.price=8", "--offer-set", "offer/o1.price=9")
    assert (twice.exit_code, "price of offer/o1 is set twice" in twice.output) == (2, True)
    unknown = clear(market, tmp_path / "o.json", "--offer-set", "offer/o9.price=8")
    assert (unknown.exit_code, "'offer/o9' is no offer/REF or supplier/REF" in unknown.output) == (2, True)


def test_a_changed_offer_is_in_the_config_and_verifies(market: Path, base: Path, tmp_path: Path) -> None:
    out, told = tmp_path / "o.json", tmp_path / "told.json"
    done = clear(market, out, "--offer-set", "offer/o1.cards=-100%", "--against", base, "--comparison", told)
    assert done.exit_code == 0, done.output
    assert body(out)["config"]["offer_changes"] == [{"name": "offer/o1", "cards_ppm": 0}]
    assert not any(match["offer_ref"] == "o1" for match in body(out)["matches"])
    checked = invoke(clearing, "verify-clearing", "--market", market, out)
    assert checked.exit_code == 0, checked.output
    found = body(told)
    assert found["config"] == [
        {"key": "offer_changes.offer/o1", "this": {"name": "offer/o1", "cards_ppm": 0}, "other": None}
    ]
    losers = {row["request_ref"]: row for row in found["requests"] if row["surplus_gain_fen"] < 0}
    assert losers
    assert all("offer_changed" in row["causes"] for row in losers.values())
    assert found["totals"]["lost_fen"] == -sum(row["surplus_gain_fen"] for row in losers.values())
    assert "Set otherwise: offer_changes.offer/o1" in done.output
    assert "offer_changed" in done.output
    # What was changed decides the instance: the file does not pass for one of the market as it is.
    (tmp_path / "forged.json").write_text(
        out.read_text(encoding="utf-8").replace('"cards_ppm": 0', '"cards_ppm": 1000000'), encoding="utf-8"
    )
    assert invoke(clearing, "verify-clearing", "--market", market, tmp_path / "forged.json").exit_code == 1


def test_files_from_before_there_were_changes_are_still_read(market: Path, base: Path, tmp_path: Path) -> None:
    old = body(base)
    assert old["config"].pop("offer_changes") == []
    (tmp_path / "old.json").write_text(json.dumps(old), encoding="utf-8")
    assert invoke(clearing, "verify-clearing", "--market", market, tmp_path / "old.json").exit_code == 0


def test_against_what_it_can_not_be_compared_with(market: Path, base: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text(json.dumps(body(base) | {"instance_sha256": "0" * 64}), encoding="utf-8")
    false = tmp_path / "false.json"
    false.write_text(json.dumps(body(base) | {"bound_fen": 1}), encoding="utf-8")
    for file, told in (
        (tmp_path / "gone.json", "gone.json: No such file"),
        (other, "other.json is not a clearing of this market"),
        (false, "bound_fen is 1"),
    ):
        done = clear(market, tmp_path / "o.json", "--against", file)
        assert done.exit_code == 2
        assert told in done.output
        assert not (tmp_path / "o.json").exists()
    alone = clear(market, tmp_path / "o.json", "--comparison", tmp_path / "c.json")
    assert (alone.exit_code, "--comparison goes with --against" in alone.output) == (2, True)
    nowhere = clear(market, tmp_path / "o.json", "--against", base, "--comparison", tmp_path / "no" / "c.json")
    assert (nowhere.exit_code, "No such file or directory" in nowhere.output) == (2, True)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "o.json"
    done = clear(MARKET, path, "--programme", "open-example")
    assert done.exit_code == 0, done.output
    return path


def test_prices_of_a_file(sample: Path) -> None:
    done = invoke(pricing, sample, "--market", MARKET, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    result = body(sample)
    assert found["budgets"] == result["budgets"]
    assert found["unit"] == "weighted_fen"
    priced = {each["chip_class"] for each in found["classes"] if any(run[2] for run in each["runs"])}
    assert "H100-class" in priced
    some = invoke(pricing, sample, "--market", MARKET, "--chip", "H800", "--from", "2026-12-03T00:00:00Z",
                  "--to", "2026-12-04T08:00:00+08:00", "--json")  # fmt: skip
    [one] = json.loads(some.output)["classes"]
    assert one["chip_class"] == "H100-class"
    assert sum(run[1] for run in one["runs"]) == 24
    table = invoke(pricing, sample, "--market", MARKET, "--chip", "H100-class")
    assert "CNY per card-hour" in table.output
    assert "open-example/pool/2026" in table.output


def test_prices_of_a_file_and_the_instance_that_was_cleared(sample: Path, tmp_path: Path) -> None:
    run = read_result(sample).run
    instance = instance_of(read_market(MARKET), run.programmes, run.as_of, run.limit_requests)
    (tmp_path / "instance.json").write_text(canonical_json(instance), encoding="utf-8")
    done = invoke(pricing, sample, "--instance", tmp_path / "instance.json", "--json")
    assert done.exit_code == 0, done.output
    assert done.output == invoke(pricing, sample, "--market", MARKET, "--json").output
    both = invoke(pricing, sample, "--instance", tmp_path / "instance.json", "--market", MARKET)
    assert (both.exit_code, "or --instance FILE" in both.output) == (2, True)


def test_bad_input_to_prices_is_named(sample: Path, market: Path, tmp_path: Path) -> None:
    for arguments, told in (
        (("--chip", "No Such"), "'No Such' is neither a chip class nor a chip model"),
        (("--from", "yesterday"), "--from: 'yesterday' is not an RFC 3339 time"),
        (("--from", "2026-12-03T00:30:00Z"), "--from: '2026-12-03T00:30:00Z' is not on a whole hour"),
        (("--from", "2026-12-03T00:00:00Z", "--to", "2026-12-03T00:00:00Z"), "--to is not after --from"),
    ):
        done = invoke(pricing, sample, "--market", MARKET, *arguments)
        assert (done.exit_code, told in done.output) == (2, True), done.output
    done = invoke(pricing, sample, "--market", market)
    assert (done.exit_code, "is not a clearing of this market" in done.output) == (2, True)
    assert invoke(pricing, tmp_path / "gone.json", "--market", market).exit_code == 2
