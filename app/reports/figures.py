"""The reports' figures: what the books say at one instant, as it is told."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from app.accounts.callers import Caller
from app.kit.db import Database, ReadSession
from app.kit.errors import NOT_FOUND
from app.kit.money import round_half_up
from app.kit.time import EARLIEST
from app.reports import repository
from app.reports.errors import YEAR_NOT_OPEN
from app.reports.forecast import Pace, forecast, window_of
from app.reports.repository import Wanted
from app.reports.schemas import (
    BurnDownDay,
    BurnDownOut,
    EffectOut,
    EffectRow,
    ForecastOut,
    Group,
    TotalsOut,
    TotalsRow,
)
from app.vouchers import repository as vouchers
from app.vouchers.budgets import pool_name, programme_of
from app.vouchers.schemas import TitleOut

_SCALE: Final = 10_000
_NO_MONEY: Final = dict.fromkeys(
    ("earmarked_fen", "issued_fen", "redeemed_fen", "returned_fen", "left_fen", "clawed_back_fen", "claimed_fen",
     "paid_fen"), 0,
)  # fmt: skip
_NO_GROUP: Final[dict[str, None]] = dict.fromkeys(Group)
_NO_EFFECT: Final = {"contracts": 0, "card_seconds": 0, "settled_fen": 0, "redeemed_fen": 0}


async def burn_down(database: Database, caller: Caller, programme: str, year: int | None, days: int) -> BurnDownOut:
    """Return how the pool of a programme's year went, and when it is used up (the desk, auditors).

    Args:
        database: where the books are.
        caller: who asks.
        programme: its id.
        year: which pool; by default that of the present year in the programme's time zone.
        days: how many last days make the pace of the forecast.

    Raises:
        Problem: `not_found` for a programme that is not stored; `report_year_not_open`.
    """
    async with database.read(caller.scope, isolation="REPEATABLE READ") as session:
        now = await repository.instant(session)
        versions = {row.version: row for row in await vouchers.find_versions(session, programme)}
        if not versions:
            raise NOT_FOUND.problem(what="programme")
        newest = versions[max(versions)]
        wanted = year or now.astimezone(programme_of(newest.toml, newest.sha256).zone).year
        years = {row.year: row for row in await vouchers.find_years(session, programme)}
        if wanted not in years:
            open_years = ", ".join(map(str, sorted(years))) or "–"
            raise YEAR_NOT_OPEN.problem(programme=programme, year=wanted, open=open_years)
        opened = years[wanted]
        row = versions[opened.programme_version]
        rules = programme_of(row.toml, row.sha256)
        name, zone = pool_name(programme, wanted), rules.time_zone
        # Transfers carry the database's time, so does the pool's opening: that of its first transfer.
        changes = await repository.pool_days(session, name, zone, EARLIEST)
        redeemed = await repository.redeemed_days(session, programme, wanted, zone)
        opened_at = await repository.opened_at(session, name)
        since = window_of(now, opened_at, days)
        lately = await repository.pool_days(session, name, zone, since)
    told = _days(changes, redeemed, now.astimezone(rules.zone).date(), capped=opened.pool_fen is not None)
    last = told[-1]
    pace = Pace(since, now, sum(each["issued"] + each["earmarked"] for each in lately))
    year_end = datetime(wanted + 1, 1, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    found = forecast(last.left_fen, pace, year_end)
    return BurnDownOut(
        programme=programme,
        title=TitleOut(en=rules.title.en, zh=rules.title.zh),
        version=row.version,
        year=wanted,
        time_zone=zone,
        as_of=now,
        pool_fen=opened.pool_fen,
        issued_fen=last.issued_fen,
        earmarked_fen=last.earmarked_fen,
        left_fen=last.left_fen,
        redeemed_fen=last.redeemed_fen,
        days=told,
        forecast=ForecastOut(
            method="recent_pace",
            verdict=found.verdict,
            window_from=since,
            window_to=now,
            drawn_fen=pace.drawn_fen,
            fen_per_day=pace.fen_per_day,
            used_up_at=found.used_up_at,
            left_at_year_end_fen=found.left_at_year_end_fen,
        ),
    )


def _days(
    changes: Sequence[Mapping[str, Any]], redeemed: Mapping[date, int], today: date, *, capped: bool
) -> list[BurnDownDay]:
    """Return every day from the first change to today with the sums so far."""
    by_day = {each["day"]: each for each in changes}
    told: list[BurnDownDay] = []
    filled = issued = earmarked = taken = 0
    day = min([*by_day, *redeemed, today])
    while day <= today:
        change = by_day.get(day)
        if change is not None:
            filled += change["filled"]
            issued += change["issued"]
            earmarked += change["earmarked"]
        taken += redeemed.get(day, 0)
        told.append(
            BurnDownDay(
                day=day,
                filled_fen=filled,
                issued_fen=issued,
                earmarked_fen=earmarked,
                left_fen=filled - issued - earmarked if capped else None,
                redeemed_fen=taken,
            )
        )
        day += timedelta(days=1)
    return told


async def totals(database: Database, caller: Caller, wanted: Wanted) -> TotalsOut:
    """Return voucher money by group and in all (the desk, auditors).

    Raises:
        Problem: `not_found` for a programme that is not stored.
    """
    async with database.read(caller.scope, isolation="REPEATABLE READ") as session:
        zones = await _zones(session, wanted)
        rows = await repository.totals(session, wanted, zones)
        whole = await repository.totals(session, Wanted(wanted.programmes, wanted.year, frozenset()), zones)
        now = await repository.instant(session)
    none = _NO_GROUP | {"vouchers": 0} | _NO_MONEY
    return TotalsOut(
        as_of=now,
        by=_by(wanted),
        rows=[TotalsRow.model_validate(dict(row)) for row in rows],
        total=TotalsRow.model_validate(dict(whole[0]) if whole else none),
    )


async def effect(database: Database, caller: Caller, wanted: Wanted) -> EffectOut:
    """Return card-hours enabled per CNY of subsidy, by group and in all (the desk, auditors).

    Raises:
        Problem: `not_found` for a programme that is not stored.
    """
    async with database.read(caller.scope, isolation="REPEATABLE READ") as session:
        zones = await _zones(session, wanted)
        rows = await repository.effect(session, wanted, zones)
        whole = await repository.effect(session, Wanted(wanted.programmes, wanted.year, frozenset()), zones)
        now = await repository.instant(session)
    return EffectOut(
        as_of=now,
        by=_by(wanted),
        rows=[_effect_row(row) for row in rows],
        total=_effect_row(whole[0] if whole else _NO_GROUP | _NO_EFFECT),
    )


async def _zones(session: ReadSession, wanted: Wanted) -> list[tuple[str, int, str]]:
    """Return the time zone of every stored version; refuse programmes that are not among them."""
    found = await vouchers.find_versions(session)
    missing = wanted.programmes - {row.programme_id for row in found}
    if missing:
        raise NOT_FOUND.problem(what=f"programme {min(missing)}")
    return [(row.programme_id, row.version, programme_of(row.toml, row.sha256).time_zone) for row in found]


def _by(wanted: Wanted) -> list[Group]:
    return [group for group in Group if group in wanted.by]


def _effect_row(row: Mapping[str, Any]) -> EffectRow:
    fen = row["redeemed_fen"]
    return EffectRow.model_validate(
        dict(row)
        | {
            "card_hours_per_cny": ratio(row["card_seconds"] * 100, fen * 3600),
            "settled_cny_per_cny": ratio(row["settled_fen"], fen),
        }
    )


def ratio(numerator: int, denominator: int) -> str | None:
    """Return a quotient with four decimals, rounded half up; None of nothing."""
    if denominator == 0:
        return None
    scaled = round_half_up(numerator * _SCALE, denominator)
    return f"{scaled // _SCALE}.{scaled % _SCALE:04d}"
