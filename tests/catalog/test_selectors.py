from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.catalog.conversion import cards_to_petaflops, petaflops_to_cards
from app.catalog.selectors import ChipFacts, ChipSelector, check_chip_name

A100 = ChipFacts("A100 80G", "NVIDIA", Decimal(312), Decimal(80), domestic=False, chip_class="A100-class")
ASCEND = ChipFacts("Ascend 910B", "Huawei", Decimal(280), Decimal(64), domestic=True, chip_class="A100-class")
BARE = ChipFacts("S60")


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("any", {"A100 80G", "Ascend 910B", "S60"}),
        ("domestic", {"Ascend 910B"}),
        ("class:A100-class", {"A100 80G", "Ascend 910B"}),
        ("class: A100-class ", {"A100 80G", "Ascend 910B"}),
        ("A100 80G", {"A100 80G"}),
        (" A100   80G |S60 ", {"A100 80G", "S60"}),
        ("domestic|S60", {"Ascend 910B", "S60"}),
        ("class:None", set()),
        ("Any", set()),
        ("a100 80g", set()),
    ],
)
def test_what_a_selector_accepts(text: str, accepted: set[str]) -> None:
    selector = ChipSelector.parse(text)
    assert {chip.name for chip in (A100, ASCEND, BARE) if selector.accepts(chip)} == accepted
    assert selector.text == text


def test_minima_and_the_unknown() -> None:
    assert ChipSelector.parse("any", min_memory_gb=Decimal(80)).accepts(A100)
    assert not ChipSelector.parse("any", min_memory_gb=Decimal("80.001")).accepts(A100)
    assert not ChipSelector.parse("any", min_memory_gb=Decimal("0.001")).accepts(BARE)
    assert not ChipSelector.parse("S60", min_fp16_tflops=Decimal(1)).accepts(BARE)
    assert not ChipSelector.parse("any", min_fp16_tflops=Decimal(300)).accepts(ASCEND)


@pytest.mark.parametrize("text", ["", " ", "|", "A||B", "any|", "|any", "class:", "A|class: "])
def test_empty_parts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"empty part|no class"):
        ChipSelector.parse(text)


def test_unknown_parts_are_named() -> None:
    selector = ChipSelector.parse("H100|Z9|class:Q|class:A100-class|any|domestic")
    assert selector.names == {"H100", "Z9"}
    assert selector.classes == {"Q", "A100-class"}
    assert selector.unknown({"H100"}, {"A100-class"}) == ["Z9", "class:Q"]


def test_every_name_of_the_catalogue_selects_itself() -> None:
    check_chip_name(A100.name)
    for name in ("any", "domestic", "class:x", "a|b", "", " a", "a  b", "a\tb", "x" * 101):
        with pytest.raises(ValueError, match=r".+"):
            check_chip_name(name)


@given(
    petaflops=st.decimals(Decimal("0.001"), 10**6, places=3),
    tflops=st.decimals(Decimal("0.001"), 10**6, places=3),
)
def test_so_many_cards_are_just_enough(petaflops: Decimal, tflops: Decimal) -> None:
    cards = petaflops_to_cards(petaflops, tflops)
    assert cards_to_petaflops(cards, tflops) >= petaflops > cards_to_petaflops(cards - 1, tflops)


def test_conversion_of_an_unknown_speed_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown"):
        petaflops_to_cards(Decimal(1), None)
    with pytest.raises(ValueError, match="unknown"):
        cards_to_petaflops(1, None)
