"""Where a market's chips come from."""

import shutil
from pathlib import Path

import pytest

from app.catalog.shipped import shipped_chips
from app.demo.generate import MARKET
from app.matching.files import MarketError, read_market

CHIPS = "chip_model,vendor,fp16_tflops,memory_gb,domestic,class\nA100 80G,NVIDIA,312,80,false,my-class\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(MARKET, tmp_path / "above" / "market"))


def test_without_a_file_they_are_those_of_the_shipped_catalogue(folder: Path) -> None:
    market = read_market(folder)
    assert [chip.name for chip in market.chips] == [chip.name for chip in shipped_chips()]
    a100 = next(chip for chip in market.chips if chip.name == "A100 80G")
    assert (a100.chip_class, a100.domestic) == ("A100-class", False)
    assert (a100.memory_milli_gb, a100.fp16_milli_tflops) == (80_000, 312_000)
    assert market.rejected == ()
    assert len(market.offers) == 25


@pytest.mark.parametrize("up", [".", "..", "../.."])
def test_a_file_beside_or_above_comes_first(folder: Path, up: str) -> None:
    (folder / up / "chips.csv").write_text(CHIPS, encoding="utf-8")
    market = read_market(folder)
    assert [(chip.name, chip.chip_class) for chip in market.chips] == [("A100 80G", "my-class")]
    assert {row.code for row in market.rejected} == {"unknown_chip"}


def test_one_that_is_named_must_be_there(folder: Path, tmp_path: Path) -> None:
    (folder / "chips.csv").write_text(CHIPS, encoding="utf-8")
    with pytest.raises(MarketError, match=r"nowhere\.csv is not a file"):
        read_market(folder, tmp_path / "nowhere.csv")
