"""Programme files: what is shipped, overriding numbers, and errors told by line and key."""

import pytest

from app.vouchers.programmes import (
    ProgrammeError,
    load_programme,
    parse_programme,
    programme_from_data,
    shipped_programmes,
    shipped_text,
)


def test_shipped_programmes_load() -> None:
    assert {"open-example", "chengdu-2023"} <= set(shipped_programmes())
    for name in shipped_programmes():
        programme = load_programme(name)
        assert programme.id == name
        assert programme_from_data(programme.numbers(), name) == programme


def test_open_example_is_as_specified() -> None:
    programme = load_programme("open-example")
    (tier,) = programme.tiers
    assert (tier.id, tier.rate_ppm, tier.mode, tier.minimum_voucher_cny) == ("general", 500_000, "up_to", "0")
    assert (programme.buyer_year_cny, programme.pool_year_cny) == ("5000", "200000")
    assert programme.partners_only
    assert programme.grade == "example"


def test_settings_override_numbers() -> None:
    programme = load_programme("open-example", {"pool_year_cny": "2000000", "general.rate": "0.4"})
    assert programme.pool_year_cny == "2000000"
    assert programme.tiers[0].rate_ppm == 400_000


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"pool_yaer_cny": "1"}, "pool_yaer_cny"),
        ({"general.id": "x"}, "general.id"),
        ({"nobody.rate": "0.5"}, "nobody.rate"),
        ({"pool_year_cny": "many"}, "pool_year_cny"),
        ({"pool_year_cny": "-1"}, "pool_year_cny"),
        ({"general.rate": "1.5"}, "tiers.0.rate"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, str], key: str) -> None:
    with pytest.raises(ProgrammeError) as caught:
        load_programme("open-example", settings)
    assert caught.value.problems[0][1] == key


def test_unknown_programme_is_named() -> None:
    with pytest.raises(ProgrammeError, match="atlantis"):
        load_programme("atlantis")


@pytest.mark.parametrize(
    ("old", "new", "line_of", "key"),
    [
        ('rate = "0.5"', "rate = 0.5", "rate = 0.5", "tiers.0.rate"),
        ('rate = "0.5"', 'rate = "half"', 'rate = "half"', "tiers.0.rate"),
        ('mode = "up_to"', 'mode = "maybe"', 'mode = "maybe"', "tiers.0.mode"),
        ('integrity = "clean"', 'integrety = "clean"', 'integrety = "clean"', "tiers.0.clauses.0.integrety"),
        ('time_zone = "Asia/Shanghai"', 'time_zone = "Moon"', 'time_zone = "Moon"', "time_zone"),
        ('by = "supplier"', 'by = "nobody"', 'by = "nobody"', "claim.by"),
        ("version = 1", 'version = "1"', 'version = "1"', "version"),
    ],
)
def test_errors_tell_line_and_key(old: str, new: str, line_of: str, key: str) -> None:
    text = shipped_text("open-example").replace(old, new)
    with pytest.raises(ProgrammeError) as caught:
        parse_programme(text, "a file")
    line, told, _ = caught.value.problems[0]
    assert told == key
    assert line == text.splitlines().index(line_of) + 1


def test_a_missing_key_is_told_at_its_table() -> None:
    text = shipped_text("open-example").replace('rate = "0.5"\n', "")
    with pytest.raises(ProgrammeError) as caught:
        parse_programme(text, "a file")
    line, key, _ = caught.value.problems[0]
    assert key == "tiers.0.rate"
    assert line == text.splitlines().index("[[tiers]]") + 1


def test_broken_toml_tells_its_line() -> None:
    with pytest.raises(ProgrammeError) as caught:
        parse_programme("id = \n", "a file")
    assert caught.value.problems[0][0] == 1
