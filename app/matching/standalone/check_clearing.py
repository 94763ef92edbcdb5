#!/usr/bin/env python3
"""Check a clearing of Cardhour without Cardhour: only Python 3.11 and NumPy are needed.

It was written from the rules alone and shares no code with the engine or with `cardhour verify-clearing`: a second
opinion. It reads the market's CSV files and a result, and recomputes in whole numbers (fen, millionths of a fen):
every match, every amount, every budget, the objectives, the bound over every possible column from the duals alone,
the gap, whether a request was left out that still fits, the reasons, and the proposed changes.

Not checked: `instance_sha256` (its canonical form is the engine's own), `solver_bound_fen` beyond its order (what a
solver proved on its own leaves no certificate), `run`, and the wording of `detail`.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from itertools import combinations, pairwise, permutations, product
from pathlib import Path
from typing import Any, TypeVar, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

MICRO = 1_000_000
HOUR = timedelta(hours=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INT64_SAFE = 2**62
NO_END = 10**18
Json = dict[str, Any]
Ints = NDArray[Any]
Row = TypeVar("Row")


class WrongClearingError(Exception):
    """The first thing that is wrong, in one sentence."""


def require(holds: object, message: str) -> None:
    if not holds:
        raise WrongClearingError(message)


# --- The market's files ---------------------------------------------------------------------------------------------

COLUMNS = {
    "offers": "offer_ref supplier region chip_model cards cards_per_node list_price_cny price_cny interconnect_gbps "
    "available_from available_to",
    "requests": "request_ref buyer submitted_at chips cards hours earliest_start deadline max_net_price_cny priority "
    "blocks min_blocks",
    "buyers": "buyer kind prior_year_revenue_cny registered_city integrity project_lead",
    "suppliers": "supplier city partner",
    "chips": "chip_model vendor fp16_tflops memory_gb domestic class",
}
KINDS = {"startup", "sme", "enterprise", "institute", "university"}
MOST = {"cards": 100_000, "hours": 20_000, "price_cny": 1_000_000, "blocks": 1_000, "priority": 1_000}


@dataclass(frozen=True, slots=True)
class Offer:
    """`first`, `end`: hours since 1970 in UTC, half open; `price`: fen per card-hour."""

    ref: str
    supplier: str
    region: str
    chip: str
    cards: int
    price: int
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Request:
    """One kind of block: `cards` for `hours`, in `[first, end)`; `most`: fen per card-hour, after subsidy."""

    ref: str
    buyer: str
    submitted: datetime
    chips: str
    cards: int
    hours: int
    first: int
    end: int
    most: int
    weight: int
    blocks: int
    min_blocks: int

    @property
    def size(self) -> int:
        return self.cards * self.hours


@dataclass(frozen=True)
class Market:
    offers: dict[str, Offer]
    requests: dict[str, Request]
    buyers: dict[str, dict[str, str]]
    suppliers: dict[str, dict[str, str]]
    chips: dict[str, dict[str, str]]
    malformed: set[tuple[str, int]]


def ceil_hour(moment: datetime) -> int:
    return -((EPOCH - moment) // HOUR)


def floor_hour(moment: datetime) -> int:
    return (moment - EPOCH) // HOUR


def parse_time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError
    return moment.astimezone(UTC)


def parse_hour(text: object) -> int:
    """A time of the result, on a whole hour."""
    try:
        moment = parse_time(str(text))
    except ValueError:
        raise WrongClearingError(f"{text!r} is not a time with an offset") from None
    require(ceil_hour(moment) == floor_hour(moment), f"{text!r} is not on a whole hour")
    return floor_hour(moment)


def decimal_of(text: str, *, most: int, places: int) -> Decimal:
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        raise ValueError
    value = Decimal(text)
    if value > most or value != round(value, places):
        raise ValueError
    return value


def fen_of(text: str) -> int:
    return int(decimal_of(text, most=MOST["price_cny"], places=2) * 100)


def whole_of(text: str, *, least: int = 1, most: int) -> int:
    value = int(text)
    if not least <= value <= most or not re.fullmatch(r"[0-9]+", text):
        raise ValueError
    return value


def read_rows(path: Path, table: str) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, row) of a CSV file; the line is that of the row's beginning, the header's is 1."""
    with path.open(encoding="utf-8-sig", newline="") as source:
        reader = csv.reader(source)
        header = next(reader, list[str]())
        # The catalogue that comes with Cardhour also tells its sources.
        known = sorted(column for column in header if (table, column) != ("chips", "source"))
        require(known == sorted(COLUMNS[table].split()), f"{path.name}: the columns are not those of {table}")
        line = reader.line_num + 1
        for cells in reader:
            begins, line = line, reader.line_num + 1
            if cells:
                texts = [cell.strip() for cell in cells]
                yield begins, dict(zip(header, texts, strict=False)) if len(cells) == len(header) else {}


def read_offer(row: dict[str, str], suppliers: Iterable[str], chips: Iterable[str]) -> Offer:
    first, end = parse_time(row["available_from"]), parse_time(row["available_to"])
    if row["supplier"] not in suppliers or row["chip_model"] not in chips or not row["region"] or first >= end:
        raise ValueError
    whole_of(row["cards_per_node"], most=MOST["cards"])
    fen_of(row["list_price_cny"])
    return Offer(
        ref=row["offer_ref"],
        supplier=row["supplier"],
        region=row["region"],
        chip=row["chip_model"],
        cards=whole_of(row["cards"], most=MOST["cards"]),
        price=fen_of(row["price_cny"]),
        first=ceil_hour(first),
        # Capacity that holds no whole hour is none.
        end=max(ceil_hour(first), floor_hour(end)),
    )


def read_request(row: dict[str, str], buyers: Iterable[str]) -> Request:
    hours = Decimal(row["hours"]) if re.fullmatch(r"[0-9]+(\.[0-9]+)?", row["hours"]) else Decimal(0)
    first, end = parse_time(row["earliest_start"]), parse_time(row["deadline"])
    blocks = whole_of(row["blocks"], most=MOST["blocks"])
    if row["buyer"] not in buyers or not 0 < hours <= MOST["hours"] or first >= end:
        raise ValueError
    if any(part.strip() in {"", "class:"} for part in row["chips"].split("|")):
        raise ValueError
    return Request(
        ref=row["request_ref"],
        buyer=row["buyer"],
        submitted=parse_time(row["submitted_at"]),
        chips=row["chips"],
        cards=whole_of(row["cards"], most=MOST["cards"]),
        hours=math.ceil(hours),
        first=ceil_hour(first),
        end=floor_hour(end),
        most=fen_of(row["max_net_price_cny"]),
        weight=whole_of(row["priority"], most=MOST["priority"]),
        blocks=blocks,
        min_blocks=whole_of(row["min_blocks"], most=blocks),
    )


def find_chips(folder: Path, given: Path | None) -> Path:
    """The chips that were named, else the market's own, else the catalogue that came with this script."""
    beside = [place / "chips.csv" for place in (folder, folder.parent, folder.parent.parent, Path(__file__).parent)]
    found = next((path for path in ([given] if given else beside) if path.exists()), None)
    require(found, "there is no chips.csv beside the market, up to two folders above or with this script: use --chips")
    return cast(Path, found)


def read_market(folder: Path, chips_file: Path | None) -> Market:
    """The well-formed rows, and the file and line of each malformed one."""
    malformed: set[tuple[str, int]] = set()
    folder = folder.resolve()

    def table(name: str, path: Path, key: str, make: Callable[[dict[str, str]], Row]) -> dict[str, Row]:
        rows: dict[str, Row] = {}
        for line, row in read_rows(path, name):
            try:
                if not row[key] or row[key] in rows:
                    raise ValueError
                rows[row[key]] = make(row)
            except (ValueError, KeyError, InvalidOperation):
                malformed.add((path.name, line))
        return rows

    def facts(row: dict[str, str]) -> dict[str, str]:
        if row["kind"] not in KINDS or row["integrity"] not in {"clean", "flagged"}:
            raise ValueError
        if row["project_lead"] not in {"none", "provincial", "national"}:
            raise ValueError
        if row["prior_year_revenue_cny"]:
            decimal_of(row["prior_year_revenue_cny"], most=10**15, places=2)
        return row

    def membership(row: dict[str, str]) -> dict[str, str]:
        if row["partner"] not in {"yes", "no"}:
            raise ValueError
        return row

    def chip(row: dict[str, str]) -> dict[str, str]:
        if row["domestic"] not in {"true", "false", ""}:
            raise ValueError
        return row

    chips = table("chips", find_chips(folder, chips_file), "chip_model", chip)
    buyers = table("buyers", folder / "buyers.csv", "buyer", facts)
    suppliers = table("suppliers", folder / "suppliers.csv", "supplier", membership)
    offers = table("offers", folder / "offers.csv", "offer_ref", lambda row: read_offer(row, suppliers, chips))
    requests = table("requests", folder / "requests.csv", "request_ref", lambda row: read_request(row, buyers))
    return Market(offers, requests, buyers, suppliers, chips, malformed)


# --- The programmes' rules ------------------------------------------------------------------------------------------

PROGRAMME_KEYS = {
    *("id", "version", "title", "grade", "sources", "time_zone", "level", "valid_from", "valid_to", "signed_from"),
    *("signed_to", "applied_in_year_of_signing", "base", "excluded_items", "max_term_days", "buyer_year_cny"),
    *("pool_year_cny", "partners_only", "suppliers", "one_application_per_contract", "voucher_valid_days"),
    *("reserve_fund", "reserve_fund_supplier_cny", "stacks_with", "stacking_ceiling", "stacks", "excludes"),
    *("desk_checks", "claim", "evaluation", "tiers"),
}
SUPPLIER_KEYS = {"not_affiliated", "batches", "partners", "centres"}
STACK_KEYS = {"with", "with_level", "mode", "domestic", "rate", "ceiling"}
SIZE_KEYS = ("min_contract_cny", "max_contract_cny", "max_year_contracts_cny")
TIER_KEYS = {
    *("id", "rate", "mode", "minimum_voucher_cny", "contract_cap_cny", "buyer_total_cny", "project_total_cny", "rates"),
    *("domestic", "workloads", *SIZE_KEYS, "desk_checks", "clauses"),
}
RATE_KEYS = {"rate", "domestic", "kinds", "workloads", *SIZE_KEYS}
CLAUSE_KEYS = {
    *("kinds", "min_prior_year_revenue_cny", "max_prior_year_revenue_cny", "integrity", "clean_years", "project_lead"),
    "registered_cities",
}


@dataclass(frozen=True)
class Component:
    """One programme's tier for one buyer. `budgets` are names; `least`, `cap`: fen per contract.

    It is for blocks that cost `begins` to `ends` fen.
    """

    programme: str
    tier: str
    rate_ppm: int
    fixed: bool
    least: int
    cap: int | None
    budgets: tuple[str, ...]
    begins: int
    ends: int


@dataclass(frozen=True)
class Option:
    """Components used together, and the most they may come to as a part of the cost."""

    components: tuple[Component, ...]
    ceiling_ppm: int | None


def known_keys(what: str, table: Json, known: set[str]) -> None:
    odd = sorted(key for key, value in table.items() if key not in known and value not in (None, [], {}, False))
    require(not odd, f"{what} has rules that this checker does not know: {', '.join(odd)}")


def cny(value: object) -> int | None:
    return None if value is None else int(Decimal(str(value)) * 100)


def ppm(value: object) -> int:
    return int(Decimal(str(value)) * MICRO)


def zone_of(name: str) -> ZoneInfo | timezone:
    try:
        return ZoneInfo(name)
    except ZoneInfoNotFoundError:
        # A machine without a time zone database; the programmes' zone has had one offset since 1991.
        require(name == "Asia/Shanghai", f"this machine does not know the time zone {name}")
        return timezone(timedelta(hours=8))


def clause_holds(clause: Json, facts: dict[str, str]) -> bool:
    known_keys("an eligibility clause", clause, CLAUSE_KEYS)
    floor, top = clause.get("min_prior_year_revenue_cny"), clause.get("max_prior_year_revenue_cny")
    revenue = facts["prior_year_revenue_cny"]
    return (
        (not clause.get("kinds") or facts["kind"] in clause["kinds"])
        and (floor is None or (revenue != "" and Decimal(revenue) >= Decimal(str(floor))))
        and (top is None or (revenue != "" and Decimal(revenue) <= Decimal(str(top))))
        and (clause.get("integrity") is None or facts["integrity"] == clause["integrity"])
        # A market's facts have no dates: what is clean always was.
        and (clause.get("clean_years") is None or facts["integrity"] == "clean")
        and (not clause.get("project_lead") or facts["project_lead"] in clause["project_lead"])
        and (not clause.get("registered_cities") or facts["registered_city"] in clause["registered_cities"])
    )


def in_force(programme: Json, day: date) -> bool:
    """The days of application and of signing are one here."""
    begins = [programme[key] for key in ("valid_from", "signed_from") if programme.get(key)]
    ends = [programme[key] for key in ("valid_to", "signed_to") if programme.get(key)]
    return all(day >= date.fromisoformat(each) for each in begins) and all(
        day <= date.fromisoformat(each) for each in ends
    )


@dataclass(frozen=True)
class Kind:
    """What the rules tell blocks apart by, besides their cost."""

    buyer: str
    partner: bool
    domestic: bool
    blocks: int
    hours: int


def size_holds(terms: Json, cost: int, blocks: int) -> bool:
    """A market has no contracts on record: the year's are the blocks of this request, all at this one's cost."""
    least, most, year = (cny(terms.get(key)) for key in SIZE_KEYS)
    return (
        (least is None or cost >= least) and (most is None or cost <= most) and (year is None or blocks * cost <= year)
    )


def origin_holds(terms: Json, kind: Kind) -> bool:
    return terms.get("domestic") in (None, kind.domestic)


class Vouchers:
    """Which options a buyer has, and what each budget holds, in fen."""

    def __init__(self, programmes: list[Json], as_of: datetime, market: Market) -> None:
        self.limits: dict[str, int] = {}
        self.programmes = {programme["id"]: programme for programme in programmes}
        self.buyers = market.buyers
        self.year: dict[str, int] = {}
        self.in_force: dict[str, bool] = {}
        self._options: dict[Kind, list[Option]] = {}
        for programme in programmes:
            where = f"programme {programme['id']}"
            known_keys(where, programme, PROGRAMME_KEYS)
            known_keys(f"{where}: suppliers", programme.get("suppliers") or {}, SUPPLIER_KEYS)
            for stack in programme.get("stacks", ()):
                known_keys(f"{where}: stacks", stack, STACK_KEYS)
            for tier in programme["tiers"]:
                known_keys(f"{where}: tier {tier['id']}", tier, TIER_KEYS)
                for row in tier.get("rates", ()):
                    known_keys(f"{where}: rates of {tier['id']}", row, RATE_KEYS)
            local = as_of.astimezone(zone_of(programme["time_zone"]))
            self.year[programme["id"]] = local.year
            self.in_force[programme["id"]] = in_force(programme, local.date())

    def admits(self, programme: Json, kind: Kind) -> bool:
        """In a market file a partner is one of every programme, and meets all that they ask of suppliers."""
        suppliers = cast(Json, programme.get("suppliers") or {})
        asked = programme.get("partners_only") or suppliers.get("batches") or suppliers.get("centres")
        days = programme.get("max_term_days")
        return bool(kind.partner or not asked) and (days is None or kind.hours <= 24 * days)

    def rate(self, tier: Json, kind: Kind, cost: int) -> object:
        """The rate of the first row whose conditions hold, else the tier's; a market names no workload."""
        for row in tier.get("rates", ()):
            kinds = row.get("kinds")
            if (
                origin_holds(row, kind)
                and not row.get("workloads")
                and (not kinds or self.buyers[kind.buyer]["kind"] in kinds)
                and size_holds(row, cost, kind.blocks)
            ):
                return row["rate"]
        return tier["rate"]

    def components(self, programme: Json, tier: Json, kind: Kind) -> Iterator[Component]:
        """One for each range of costs in which the tier says the same."""
        if (
            not origin_holds(tier, kind)
            or tier.get("workloads")
            or not any(clause_holds(clause, self.buyers[kind.buyer]) for clause in tier["clauses"])
        ):
            return
        cuts: set[int] = set()
        for terms in (tier, *tier.get("rates", ())):
            least, most, year = (cny(terms.get(key)) for key in SIZE_KEYS)
            cuts |= {least - 1} if least is not None else set()
            cuts |= {most} if most is not None else set()
            cuts |= {year // kind.blocks} if year is not None else set()
        edges = [-1, *sorted(cut for cut in cuts if cut >= 0), NO_END]
        for before, ends in pairwise(edges):
            if size_holds(tier, before + 1, kind.blocks):
                yield self.component(programme, tier, kind, before + 1, ends)

    def component(self, programme: Json, tier: Json, kind: Kind, begins: int, ends: int) -> Component:
        name, year = programme["id"], self.year[programme["id"]]
        totals = [cny(tier.get(key)) for key in ("buyer_total_cny", "project_total_cny")]
        budgets = {
            f"{name}/pool/{year}": cny(programme.get("pool_year_cny")),
            f"{name}/buyer/{kind.buyer}/{year}": cny(programme.get("buyer_year_cny")),
            f"{name}/{tier['id']}/buyer/{kind.buyer}": min((each for each in totals if each is not None), default=None),
        }
        limited = {budget: limit for budget, limit in budgets.items() if limit is not None}
        self.limits.update(limited)
        return Component(
            programme=name,
            tier=tier["id"],
            rate_ppm=ppm(self.rate(tier, kind, begins)),
            fixed=tier["mode"] == "fixed",
            least=cny(tier.get("minimum_voucher_cny")) or 0,
            cap=cny(tier.get("contract_cap_cny")),
            budgets=tuple(limited),
            begins=begins,
            ends=ends,
        )

    def options(self, kind: Kind) -> list[Option]:
        """All ways to subsidise a block, the empty one first; one tier of a programme at a time."""
        if kind not in self._options:
            pieces = [
                component
                for programme in self.programmes.values()
                if self.in_force[programme["id"]] and self.admits(programme, kind)
                for tier in programme["tiers"]
                for component in self.components(programme, tier, kind)
            ]
            sets = [combo for count in range(len(self.programmes) + 1) for combo in combinations(pieces, count)]
            found = [self.together(combo, kind) for combo in sets if len({c.programme for c in combo}) == len(combo)]
            self._options[kind] = [option for option in found if option is not None]
        return self._options[kind]

    def stack(self, one: Json, other: Json, kind: Kind) -> Json | None:
        """What `one` says of being taken together with `other`, without an application for it."""
        for row in one.get("stacks", ()):
            named = row["with"] == other["id"] if row.get("with") else row["with_level"] == other.get("level")
            if named and row["mode"] == "automatic" and origin_holds(row, kind):
                return cast(Json, row)
        plain = other["id"] in one.get("stacks_with", ())
        return {"ceiling": one.get("stacking_ceiling")} if plain else None

    def together(self, combo: tuple[Component, ...], kind: Kind) -> Option | None:
        """The option of these components, at the rates and under the ceiling that they have together."""
        rates = {one.programme: one.rate_ppm for one in combo}
        ceilings: list[int] = []
        for one, other in permutations(combo, 2):
            row = self.stack(self.programmes[one.programme], self.programmes[other.programme], kind)
            if row is None:
                return None
            if row.get("rate") is not None:
                rates[one.programme] = min(rates[one.programme], ppm(row["rate"]))
            if row.get("ceiling") is not None:
                ceilings.append(ppm(row["ceiling"]))
        begins, ends = max((one.begins for one in combo), default=0), min((one.ends for one in combo), default=NO_END)
        if begins > ends:
            return None
        taken = tuple(replace(one, rate_ppm=rates[one.programme], begins=begins, ends=ends) for one in combo)
        return Option(taken, min(ceilings, default=None))


def most_of(component: Component, cost: int) -> int:
    """What the tier gives where no budget is short; below 0 where it is not for blocks of this cost."""
    if not component.begins <= cost <= component.ends:
        return -1
    share = cost * component.rate_ppm // MICRO
    return share if component.cap is None else min(share, component.cap)


def best_subsidy(
    option: Option, cost: int, need: int, left: dict[str, int], gain: Callable[[Component], int], *, exact_fixed: bool
) -> tuple[int, dict[Component, int]] | None:
    """The amounts of the greatest Σ gain·σ within every limit and with Σσ ≥ need, or None where there are none.

    With `exact_fixed`, a `fixed` tier gives all that its rate and its budgets allow; without, any amount up to it: the
    certificate counts that larger set of amounts.
    """
    ceiling = cost if option.ceiling_ppm is None else cost * option.ceiling_ppm // MICRO
    low: dict[Component, int] = {}
    high: dict[Component, int] = {}
    for component in option.components:
        high[component] = min(most_of(component, cost), *(left[budget] for budget in component.budgets), cost)
        low[component] = max(component.least, 1 if high[component] else 0)
        if exact_fixed and component.fixed:
            low[component] = max(low[component], high[component])
        if low[component] > high[component]:
            return None
    amounts = dict(low)
    total = sum(amounts.values())
    if total > ceiling:
        return None
    for component in sorted(option.components, key=gain, reverse=True):
        # Beyond what is needed only where it gains.
        wanted = ceiling if gain(component) > 0 else need
        step = min(high[component] - amounts[component], max(0, wanted - total))
        amounts[component] += step
        total += step
    if total < need:
        return None
    return sum(gain(component) * amount for component, amount in amounts.items()), amounts


# --- The result's config --------------------------------------------------------------------------------------------


@dataclass
class Case:
    """A market, a result, and what both say together."""

    market: Market
    result: Json
    requests: dict[str, Request]
    vouchers: Vouchers
    objective: str
    kappa_ppm: int
    forbids: set[tuple[str, str]]
    pins: list[tuple[str, str, int | None]]
    shares: dict[str, int]
    offers_by_chips: dict[str, list[Offer]] = field(default_factory=dict[str, list[Offer]])

    def partner(self, offer: Offer) -> bool:
        return self.market.suppliers[offer.supplier]["partner"] == "yes"

    def accepts(self, chips: str, model: str) -> bool:
        facts = self.market.chips[model]
        return any(
            wanted == "any"
            or (wanted == "domestic" and facts["domestic"] == "true")
            or (wanted.startswith("class:") and facts["class"] == wanted.removeprefix("class:") != "")
            or wanted == model
            for wanted in (part.strip() for part in chips.split("|"))
        )

    def acceptable(self, chips: str) -> list[Offer]:
        if chips not in self.offers_by_chips:
            fitting = {offer.chip for offer in self.market.offers.values() if self.accepts(chips, offer.chip)}
            found = [offer for offer in self.market.offers.values() if offer.chip in fitting]
            self.offers_by_chips[chips] = sorted(found, key=lambda offer: offer.ref)
        return self.offers_by_chips[chips]

    def options(self, request: Request, offer: Offer) -> list[Option]:
        domestic = self.market.chips[offer.chip]["domestic"] == "true"
        kind = Kind(request.buyer, self.partner(offer), domestic, request.blocks, request.hours)
        return self.vouchers.options(kind)

    def uses(self, share: str, request: Request, offer: Offer) -> int:
        kind, ref = share.split("/", 1)
        return request.size if ref == (request.buyer if kind == "buyer" else offer.supplier) else 0

    def sigma_gain(self, request: Request) -> int:
        """Millionths of the objective for a fen of subsidy."""
        return request.weight * (MICRO - self.kappa_ppm) if self.objective == "surplus" else 0

    def base_gain(self, request: Request, offer: Offer) -> int:
        """Millionths of the objective for a block before subsidy."""
        per_card_hour = request.most - offer.price if self.objective == "surplus" else 1
        return MICRO * request.weight * request.size * per_card_hour


def read_pins(rows: list[Json]) -> list[tuple[str, str, int | None]]:
    """The pins that need a block of their own: one with a start also keeps the same pin without."""
    pins = {(r["request_ref"], r["offer_ref"], None if r["start"] is None else parse_hour(r["start"])) for r in rows}
    timed = {(ref, offer) for ref, offer, start in pins if start is not None}
    return [(ref, offer, start) for ref, offer, start in pins if start is not None or (ref, offer) not in timed]


CHANGE_KEYS = {"name", "price_fen", "price_ppm", "add_cards", "cards_ppm"}


def change_offer(offer: Offer, change: Json) -> Offer:
    """A posted price or a factor of it (half up); cards more or fewer, never below 0, or a factor of them (down)."""
    price, cards = offer.price, offer.cards
    if "price_fen" in change:
        price = change["price_fen"]
    elif "price_ppm" in change:
        price = (2 * price * change["price_ppm"] + MICRO) // (2 * MICRO)
    if "add_cards" in change:
        cards = max(0, cards + change["add_cards"])
    elif "cards_ppm" in change:
        cards = cards * change["cards_ppm"] // MICRO
    return replace(offer, price=price, cards=cards)


def change_offers(market: Market, rows: list[Json]) -> Market:
    """The market of a what-if. A supplier's change holds for its offers, but for those that have one of their own."""
    changes: dict[str, Json] = {row["name"]: row for row in rows}
    require(len(changes) == len(rows), "config.offer_changes: an offer or a supplier is changed twice")
    known = {f"offer/{offer.ref}" for offer in market.offers.values()}
    known |= {f"supplier/{offer.supplier}" for offer in market.offers.values()}
    for name, row in changes.items():
        where = f"config.offer_changes: {name}"
        require(name in known, f"{where} is no offer or supplier of this market")
        numbers = row.keys() - {"name"}
        require(numbers and row.keys() <= CHANGE_KEYS, f"{where}: odd fields")
        require(not numbers >= {"price_fen", "price_ppm"}, f"{where}: two prices")
        require(not numbers >= {"add_cards", "cards_ppm"}, f"{where}: two changes of cards")
        for number in numbers:
            whole(row[number], f"{where}: {number}", None if number == "add_cards" else 0)
    offers = {
        ref: change_offer(offer, changes.get(f"offer/{ref}") or changes.get(f"supplier/{offer.supplier}") or {})
        for ref, offer in market.offers.items()
    }
    return replace(market, offers=offers)


def read_case(market: Market, result: Json) -> Case:
    config: Json = result["config"]
    market = change_offers(market, config["offer_changes"])
    require(config["objective"] in {"surplus", "coverage", "thrift"}, "config.objective is none of the three")
    require(config["method"] in {"clear", "fcfs", "cpsat"}, "config.method is none of the three")
    chosen = sorted(market.requests.values(), key=lambda request: (request.submitted, request.ref))
    requests = {request.ref: request for request in chosen[: config["limit_requests"]]}
    asked = sum(request.blocks * request.size for request in requests.values())
    require(len(config["shares"]) == len({row["share"] for row in config["shares"]}), "a share is given twice")
    return Case(
        market=market,
        result=result,
        requests=requests,
        vouchers=Vouchers(config["programmes"], parse_time(config["as_of"]), market),
        objective=config["objective"],
        kappa_ppm=config["kappa_ppm"],
        forbids={(row["request_ref"], row["offer_ref"]) for row in config["forbids"]},
        pins=read_pins(config["pins"]),
        shares={row["share"]: asked * row["share_ppm"] // MICRO for row in config["shares"]},
    )


# --- Matches and amounts --------------------------------------------------------------------------------------------

MATCH_KEYS = {
    "request_ref",
    "block",
    "offer_ref",
    "start",
    "hours",
    "cards",
    "cost_fen",
    "subsidies",
    "subsidy_fen",
    "net_fen",
    "surplus_fen",
}


def whole(value: object, what: str, least: int | None = 0) -> int:
    require(isinstance(value, int) and not isinstance(value, bool), f"{what} is not a whole number: {value!r}")
    number = cast(int, value)
    require(least is None or number >= least, f"{what} is {number}, below {least}")
    return number


@dataclass
class Left:
    """What the matches leave: cards by hour of each offer, fen of each budget, units of each share, blocks placed."""

    free: dict[str, Ints]
    budgets: dict[str, int]
    shares: dict[str, int]
    placed: dict[str, int]
    value: dict[str, int]

    def take(self, offer: Offer, start: int, hours: int, cards: int) -> None:
        self.free[offer.ref][start - offer.first : start - offer.first + hours] -= cards


def empty_market(case: Case) -> Left:
    for request in case.requests.values():
        for partner, domestic in product((True, False), repeat=2):
            case.vouchers.options(Kind(request.buyer, partner, domestic, request.blocks, request.hours))
    return Left(
        free={o.ref: np.full(o.end - o.first, o.cards, dtype=np.int64) for o in case.market.offers.values()},
        budgets=dict(case.vouchers.limits),
        shares=dict(case.shares),
        placed=dict.fromkeys(case.requests, 0),
        value={"surplus": 0, "coverage": 0, "subsidy": 0},
    )


def check_subsidies(case: Case, match: Json, request: Request, offer: Offer, left: Left, short: list[Any]) -> int:
    """Σσ of one match; appends to `short` each `fixed` amount below its maximum, with its budgets."""
    where = f"{request.ref} block {match['block']}"
    cost = offer.price * request.size
    given = {(row["programme"], row["tier"]): whole(row["amount_fen"], where, 1) for row in match["subsidies"]}
    require(len(given) == len(match["subsidies"]), f"{where}: a tier is used twice")
    require(all(set(row) == {"programme", "tier", "amount_fen"} for row in match["subsidies"]), f"{where}: odd fields")
    option = next(
        (
            option
            for option in case.options(request, offer)
            if {(c.programme, c.tier) for c in option.components} == set(given)
            and all(c.begins <= cost <= c.ends for c in option.components)
        ),
        None,
    )
    require(option, f"{where}: {request.buyer} is not entitled to {sorted(given)} on {offer.ref}")
    option = cast(Option, option)
    total = sum(given.values())
    require(
        option.ceiling_ppm is None or total <= cost * option.ceiling_ppm // MICRO,
        f"{where}: the subsidies together exceed the ceiling",
    )
    for component in option.components:
        amount, most = given[component.programme, component.tier], most_of(component, cost)
        require(amount <= most, f"{where}: a subsidy of {amount} fen exceeds its rate or cap, {most} fen")
        require(amount >= component.least, f"{where}: {amount} fen are less than the least voucher, {component.least}")
        if component.fixed and amount < most:
            short.append((where, amount, most, component.budgets))
        for budget in component.budgets:
            left.budgets[budget] -= amount
    return total


def check_match(case: Case, match: Json, left: Left, short: list[Any]) -> tuple[Request, Offer, int]:
    require(set(match) == MATCH_KEYS, f"a match has other fields than {sorted(MATCH_KEYS)}: {sorted(match)}")
    require(match["request_ref"] in case.requests, f"there is no request {match['request_ref']!r} in this run")
    require(match["offer_ref"] in case.market.offers, f"there is no offer {match['offer_ref']!r}")
    request, offer = case.requests[match["request_ref"]], case.market.offers[match["offer_ref"]]
    where = f"{request.ref} block {match['block']}"
    require(whole(match["block"], where) < request.blocks, f"{where}: the request has {request.blocks} blocks")
    require(case.accepts(request.chips, offer.chip), f"{where}: {offer.chip} is none of {request.chips}")
    require((request.ref, offer.ref) not in case.forbids, f"{where}: {offer.ref} is forbidden")
    require(whole(match["cards"], where) == request.cards, f"{where}: {match['cards']} cards, not {request.cards}")
    require(whole(match["hours"], where) == request.hours, f"{where}: {match['hours']} hours, not {request.hours}")
    start = parse_hour(match["start"])
    require(start >= request.first, f"{where}: begins before the earliest start")
    require(start + request.hours <= request.end, f"{where}: ends after the deadline")
    require(offer.first <= start and start + request.hours <= offer.end, f"{where}: outside the time of {offer.ref}")
    left.take(offer, start, request.hours, request.cards)
    cost = offer.price * request.size
    subsidy = check_subsidies(case, match, request, offer, left, short)
    net, most = cost - subsidy, request.most * request.size
    for key, expected in (("cost", cost), ("subsidy", subsidy), ("net", net), ("surplus", most - net)):
        found = whole(match[f"{key}_fen"], f"{where}: {key}_fen", None)
        require(found == expected, f"{where}: {key}_fen is {found}, not {expected}")
    require(0 <= net <= most, f"{where}: net {net} fen, but the buyer pays 0 to {most}")
    for share in case.shares:
        left.shares[share] -= case.uses(share, request, offer)
    left.placed[request.ref] += 1
    left.value["surplus"] += case.base_gain(request, offer) if case.objective == "surplus" else 0
    left.value["surplus"] += (
        request.weight * (MICRO - case.kappa_ppm) * subsidy
        if case.objective == "surplus"
        else request.weight * (MICRO * (most - cost) + (MICRO - case.kappa_ppm) * subsidy)
    )
    left.value["coverage"] += MICRO * request.weight * request.size
    left.value["subsidy"] += MICRO * subsidy
    return request, offer, start


def check_matches(case: Case) -> Left:
    left = empty_market(case)
    short: list[tuple[str, int, int, tuple[str, ...]]] = []
    blocks: set[tuple[str, int]] = set()
    pins = set(case.pins)
    for match in case.result["matches"]:
        request, offer, start = check_match(case, match, left, short)
        require((request.ref, match["block"]) not in blocks, f"{request.ref}: block {match['block']} is matched twice")
        blocks.add((request.ref, match["block"]))
        pins -= {(request.ref, offer.ref, None), (request.ref, offer.ref, start)}
    for ref, free in left.free.items():
        if free.size and free.min() < 0:
            hour = EPOCH + HOUR * (case.market.offers[ref].first + int(free.argmin()))
            raise WrongClearingError(f"{ref} is oversold by {-int(free.min())} cards at {hour:%Y-%m-%dT%H:%M}Z")
    for budget, rest in left.budgets.items():
        require(rest >= 0, f"budget {budget} is exceeded by {-rest} fen")
    for share, rest in left.shares.items():
        require(rest >= 0, f"share {share} is exceeded by {-rest} card-hours")
    for where, amount, most, budgets in short:
        exhausted = any(left.budgets[budget] == 0 for budget in budgets)
        require(exhausted, f"{where}: a fixed subsidy of {amount} fen is not {most}, but no budget of it is exhausted")
    for ref, count in left.placed.items():
        least = case.requests[ref].min_blocks
        require(count in (0, *range(least, case.requests[ref].blocks + 1)), f"{ref}: {count} blocks, at least {least}")
    require(not pins, f"a pin does not hold: {sorted(pins, key=str)[:1]}")
    return left


def check_budgets(case: Case, left: Left) -> None:
    rows: dict[str, Json] = {row["budget"]: row for row in case.result["budgets"]}
    require(len(rows) == len(case.result["budgets"]), "a budget is listed twice")
    shadow = {row["budget"]: row["mu"] for row in case.result["duals"]["budgets"]}
    for name, row in rows.items():
        require(name in case.vouchers.limits, f"there is no budget {name}")
        limit, used = case.vouchers.limits[name], case.vouchers.limits[name] - left.budgets[name]
        require(whole(row["limit_fen"], name) == limit, f"budget {name}: limit_fen is {row['limit_fen']}, not {limit}")
        require(whole(row["used_fen"], name) == used, f"budget {name}: used_fen is {row['used_fen']}, not {used}")
        price = whole(row["shadow_price_micro"], name)
        require(price == shadow.get(name, 0), f"budget {name}: shadow_price_micro is {price}, not its dual")
    for name, limit in case.vouchers.limits.items():
        require(name in rows or left.budgets[name] == limit, f"budget {name} is used but not listed")
        require(name in rows or name not in shadow, f"budget {name} has a dual but is not listed")


# --- The bound ------------------------------------------------------------------------------------------------------


@dataclass
class Duals:
    capacity: dict[str, list[tuple[int, int, list[tuple[int, int, int]]]]]
    budgets: dict[str, int]
    shares: dict[str, int]


def read_duals(case: Case) -> Duals:
    duals: Json = case.result["duals"]
    capacity: dict[str, list[tuple[int, int, list[tuple[int, int, int]]]]] = defaultdict(list)
    for row in duals["capacity"]:
        require(row["offer_ref"] in case.market.offers, f"duals: there is no offer {row['offer_ref']!r}")
        runs = [(parse_hour(t), whole(h, "duals: hours", 1), whole(price, "duals: λ")) for t, h, price in row["runs"]]
        where = f"duals of {row['offer_ref']}"
        apart = all(one[0] + one[1] <= two[0] for one, two in pairwise(runs))
        require(apart, f"{where}: its runs overlap")
        capacity[row["offer_ref"]].append((whole(row["a"], where, 1), whole(row["b"], where, 1), runs))
    budgets = {row["budget"]: whole(row["mu"], row["budget"]) for row in duals["budgets"]}
    shares = {row["share"]: whole(row["nu"], row["share"]) for row in duals["shares"]}
    require(len(budgets) == len(duals["budgets"]), "duals: a budget is given twice")
    require(len(shares) == len(duals["shares"]), "duals: a share is given twice")
    require(budgets.keys() <= case.vouchers.limits.keys(), "duals: a budget does not exist")
    require(shares.keys() <= case.shares.keys(), "duals: a share does not exist")
    return Duals(dict(capacity), budgets, shares)


def hourly_prices(offer: Offer, duals: Duals) -> list[tuple[int, int, list[int]]]:
    """λ by hour of the offer, for each of its capacity rows a/b; hours outside the offer can't hold a column."""
    rows: list[tuple[int, int, list[int]]] = []
    for a, b, runs in duals.capacity.get(offer.ref, []):
        prices = [0] * (offer.end - offer.first)
        for begins, hours, price in runs:
            for hour in range(max(0, begins - offer.first), min(len(prices), begins - offer.first + hours)):
                prices[hour] += price
        rows.append((a, b, prices))
    return rows


def running_cost(rows: list[tuple[int, int, list[int]]], cards: int, length: int) -> Ints:
    """P with P[t] = what a gang of so many cards pays for the hours before t; objects where int64 would overflow."""
    highest = sum(sum(prices) * (cards * a // b) for a, b, prices in rows)
    dtype: Any = np.int64 if highest < INT64_SAFE else object
    total = np.zeros(length + 1, dtype=dtype)
    for a, b, prices in rows:
        total[1:] += np.cumsum(np.array(prices, dtype=dtype) * (cards * a // b))
    return total


def gain_before_capacity(case: Case, request: Request, offer: Offer, duals: Duals) -> int | None:
    """r_k before λ, the best over all options; None where no column exists."""
    cost = offer.price * request.size
    need = cost - request.most * request.size
    gains = [
        best_subsidy(
            option,
            cost,
            need,
            case.vouchers.limits,
            lambda c: case.sigma_gain(request) - sum(duals.budgets.get(budget, 0) for budget in c.budgets),
            exact_fixed=False,
        )
        for option in case.options(request, offer)
    ]
    found = [gain[0] for gain in gains if gain is not None]
    if not found:
        return None
    taken = sum(price * case.uses(share, request, offer) for share, price in duals.shares.items())
    return case.base_gain(request, offer) + max(found) - taken


def best_gains(case: Case, duals: Duals, tell: Callable[[str], None]) -> tuple[dict[str, int], dict[int, int]]:
    """max(0, max_k r_k) of each request, and the best r of each pin by its place in the list."""
    best = dict.fromkeys(case.requests, 0)
    pinned: dict[int, int] = {}
    pins: dict[tuple[str, str], list[tuple[int, int | None]]] = defaultdict(list)
    for place, (ref, offer_ref, start) in enumerate(case.pins):
        pins[ref, offer_ref].append((place, start))
    takers: dict[str, list[Request]] = defaultdict(list)
    for request in case.requests.values():
        for offer in case.acceptable(request.chips):
            if request.cards <= offer.cards and (request.ref, offer.ref) not in case.forbids:
                takers[offer.ref].append(request)
    for count, (ref, requests) in enumerate(takers.items()):
        tell(f"bound: offer {count + 1} of {len(takers)}")
        offer = case.market.offers[ref]
        rows = hourly_prices(offer, duals)
        costs: dict[int, Ints] = {}
        shape, paid = (0, 0), np.zeros(0)
        for request in sorted(requests, key=lambda r: (r.cards, r.hours)):
            begin, end = max(request.first, offer.first), min(request.end, offer.end) - request.hours
            gain = gain_before_capacity(case, request, offer, duals) if begin <= end else None
            marked = pins.get((request.ref, ref), [])
            # λ ≥ 0: a gain that is not above the best before λ is not above it after.
            if gain is None or (gain <= best[request.ref] and not marked):
                continue
            if shape != (request.cards, request.hours):
                shape = (request.cards, request.hours)
                if request.cards not in costs:
                    costs = {request.cards: running_cost(rows, request.cards, offer.end - offer.first)}
                paid = costs[request.cards][request.hours :] - costs[request.cards][: -request.hours]
            least = int(paid[begin - offer.first : end - offer.first + 1].min())
            best[request.ref] = max(best[request.ref], gain - least)
            for place, start in marked:
                if start is None or begin <= start <= end:
                    toll = least if start is None else int(paid[start - offer.first])
                    pinned[place] = gain - toll
    return best, pinned


def bound_micro(case: Case, tell: Callable[[str], None]) -> int:
    duals = read_duals(case)
    best, pinned = best_gains(case, duals, tell)
    require(len(pinned) == len(case.pins), "a pin has no column: the run can't hold it")
    pins_of: dict[str, int] = defaultdict(int)
    total = 0
    for place, (ref, _, _) in enumerate(case.pins):
        pins_of[ref] += 1
        total += pinned[place]
    for request in case.requests.values():
        total += max(0, request.blocks - pins_of[request.ref]) * best[request.ref]
    for offer in case.market.offers.values():
        total += sum(sum(prices) * (offer.cards * a // b) for a, b, prices in hourly_prices(offer, duals))
    total += sum(price * case.vouchers.limits[budget] for budget, price in duals.budgets.items())
    return total + sum(price * case.shares[share] for share, price in duals.shares.items())


STAGES = {"surplus": ("surplus",), "coverage": ("coverage", "surplus"), "thrift": ("coverage", "subsidy")}


def check_objectives(case: Case, left: Left, tell: Callable[[str], None]) -> None:
    result = case.result
    stages = STAGES[case.objective]
    require([row["name"] for row in result["objectives"]] == list(stages), f"the objectives are not {stages}")
    for row in result["objectives"]:
        value = left.value[row["name"]] // MICRO
        require(whole(row["value"], row["name"], None) == value, f"{row['name']} is {value}, not {row['value']}")
    objective = left.value[stages[0]] // MICRO
    bound = -(-bound_micro(case, tell) // MICRO)
    found = whole(result["objective_fen"], "objective_fen", None)
    require(found == objective, f"objective_fen is {found}, not {objective}")
    require(whole(result["bound_fen"], "bound_fen") == bound, f"bound_fen is {result['bound_fen']}, not {bound}")
    require(result["objectives"][0]["bound"] == bound, f"the first objective's bound is not {bound}")
    require(bound >= objective, f"the bound {bound} is below the objective {objective}: this can't be")
    gap = (bound - objective) / bound if bound else 0
    require(
        isinstance(result["gap"], (int, float)) and abs(result["gap"] - gap) < 1e-9,
        f"gap is {result['gap']}, not {gap}",
    )
    proved = result["solver_bound_fen"]
    require(proved is None or whole(proved, "solver_bound_fen") >= objective, "solver_bound_fen is below the objective")
    require(result["status"] in {"optimal", "feasible"}, f"a result with matches has the status {result['status']!r}")
    if result["status"] == "optimal":
        # A part of a fen, with a cost of public funds, rounds down in the objective and up in a bound.
        least = -(-left.value[stages[0]] // MICRO)
        require(least in {bound, proved}, "optimal, but neither bound equals the objective")


# --- What still fits ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ignored:
    """What to leave out of a question about what fits."""

    forbids: bool = False
    shares: bool = False


NOTHING = Ignored()
RULES = Ignored(forbids=True, shares=True)


def rank_way(
    way: tuple[Offer, dict[Component, int]], tiers: tuple[tuple[str, str], ...] | None
) -> tuple[bool, int, str]:
    """First the tiers that are preferred, then the least subsidy; the largest where `tiers` is empty."""
    offer, amounts = way
    total = sum(amounts.values())
    other = tiers != tuple((component.programme, component.tier) for component in amounts)
    return bool(tiers) and other, -total if tiers == () else total, offer.ref


class Residual:
    """Questions about what is left after the matches."""

    def __init__(self, case: Case, left: Left) -> None:
        self.case = case
        self.left = left
        self._blocked: dict[tuple[str, int], Ints] = {}

    def blocked(self, offer: Offer, cards: int) -> Ints:
        """B with B[t] = hours before t in which so many cards are not free."""
        key = (offer.ref, cards)
        if key not in self._blocked:
            short = self.left.free[offer.ref] < cards
            self._blocked[key] = np.concatenate(([0], np.cumsum(short, dtype=np.int32)))
        return self._blocked[key]

    def starts(self, request: Request, offer: Offer, *, empty: bool = False) -> Ints:
        """The hours since 1970 at which a block can begin on the offer."""
        begin, end = max(request.first, offer.first), min(request.end, offer.end) - request.hours
        if begin > end or request.cards > offer.cards:
            return np.zeros(0, dtype=np.int64)
        if empty:
            return np.arange(begin, end + 1)
        blocked = self.blocked(offer, request.cards)[begin - offer.first : end - offer.first + request.hours + 1]
        return begin + np.flatnonzero(blocked[request.hours :] == blocked[: end - begin + 1])

    def subsidies(self, request: Request, offer: Offer, budgets: dict[str, int]) -> list[dict[Component, int]]:
        """For each option that brings a block to what its buyer pays, the smallest amounts that do, least first."""
        cost = offer.price * request.size
        found = [
            best_subsidy(
                option, cost, cost - request.most * request.size, budgets, lambda _component: -1, exact_fixed=True
            )
            for option in self.case.options(request, offer)
        ]
        return sorted((one[1] for one in found if one is not None), key=lambda amounts: sum(amounts.values()))

    def payable(self, request: Request, offer: Offer, budgets: dict[str, int]) -> bool:
        return bool(self.subsidies(request, offer, budgets))

    def candidates(self, request: Request, ignored: Ignored) -> Iterator[tuple[Offer, Ints]]:
        """The offers that can take one block, and when it can begin."""
        for offer in self.case.acceptable(request.chips):
            if not ignored.forbids and (request.ref, offer.ref) in self.case.forbids:
                continue
            if not ignored.shares and any(
                rest < self.case.uses(share, request, offer) for share, rest in self.left.shares.items()
            ):
                continue
            starts = self.starts(request, offer)
            if starts.size and self.payable(request, offer, self.left.budgets):
                yield offer, starts

    def fits(self, request: Request, blocks: int, ignored: Ignored = NOTHING) -> bool:
        """Whether so many blocks go in together. For several, greedy packings: a yes is always right."""
        offers = [offer for offer, _ in self.candidates(request, ignored)]
        if blocks == 1 or not offers:
            return bool(offers)
        tiers = {
            tuple((c.programme, c.tier) for c in option.components)
            for offer in offers
            for option in self.case.options(request, offer)
        }
        # The least subsidy for each block; else as often as it goes one way to subsidise, else the largest.
        return any(self.packs(request, blocks, offers, tier, ignored) for tier in (None, *sorted(tiers), ()))

    def packs(
        self,
        request: Request,
        blocks: int,
        offers: list[Offer],
        tiers: tuple[tuple[str, str], ...] | None,
        ignored: Ignored,
    ) -> bool:
        budgets, shares = dict(self.left.budgets), {} if ignored.shares else dict(self.left.shares)
        free = {offer.ref: self.left.free[offer.ref].copy() for offer in offers}
        begins = {offer.ref: max(request.first, offer.first) for offer in offers}
        placed = 0
        while placed < blocks:
            ways = [
                (offer, amounts)
                for offer in offers
                if offer.ref in begins
                for amounts in self.subsidies(request, offer, budgets)
            ]
            for offer, amounts in sorted(ways, key=lambda way: rank_way(way, tiers)):
                if any(rest < self.case.uses(share, request, offer) for share, rest in shares.items()):
                    continue
                start = self.next_start(request, offer, free[offer.ref], begins[offer.ref])
                if start is None:
                    begins.pop(offer.ref)
                    break
                begins[offer.ref] = start
                free[offer.ref][start - offer.first : start - offer.first + request.hours] -= request.cards
                for component, amount in amounts.items():
                    for budget in component.budgets:
                        budgets[budget] -= amount
                for share in shares:
                    shares[share] -= self.case.uses(share, request, offer)
                placed += 1
                break
            else:
                return False
        return True

    def next_start(self, request: Request, offer: Offer, free: Ints, start: int) -> int | None:
        while start + request.hours <= min(request.end, offer.end):
            short = np.flatnonzero(free[start - offer.first : start - offer.first + request.hours] < request.cards)
            if not short.size:
                return start
            start += int(short[-1]) + 1
        return None

    def gains(self, request: Request) -> bool:
        """Whether a block that fits is worth its subsidy; only a cost of public funds can make it not so.

        Where several blocks share what is left, that would take a search: then never yes.
        """
        if not self.case.kappa_ppm or self.case.objective != "surplus":
            return True
        if self.wanted(request) > 1:
            return False
        for offer, _ in self.candidates(request, NOTHING):
            cost = offer.price * request.size
            for option in self.case.options(request, offer):
                found = best_subsidy(
                    option,
                    cost,
                    cost - request.most * request.size,
                    self.left.budgets,
                    lambda _component: self.case.sigma_gain(request),
                    exact_fixed=True,
                )
                if found is not None and self.case.base_gain(request, offer) + found[0] > 0:
                    return True
        return False

    def wanted(self, request: Request) -> int:
        """How many blocks must go in together, if any."""
        return 1 if self.left.placed[request.ref] else request.min_blocks

    def free_card_hours(self, request: Request, offers: Iterable[Offer]) -> int:
        total = 0
        for offer in offers:
            begin, end = max(request.first, offer.first) - offer.first, min(request.end, offer.end) - offer.first
            total += int(self.left.free[offer.ref][begin:end].sum()) if begin < end else 0
        return total


def check_maximal(residual: Residual) -> None:
    if residual.case.kappa_ppm:
        return
    first_come = residual.case.result["config"]["method"] == "fcfs"
    for request in residual.case.requests.values():
        missing = residual.left.placed[request.ref] < request.blocks
        # First come gives each block the largest subsidy left; with less for the first, more blocks may have fitted.
        if first_come and residual.wanted(request) > 1:
            continue
        if missing and residual.fits(request, residual.wanted(request)):
            raise WrongClearingError(f"{request.ref} is not fully matched, but still fits what is left")


# --- Reasons and changes --------------------------------------------------------------------------------------------

CODES = (
    *("no_chip", "no_site", "too_large_for_any_offer", "no_window", "over_budget", "subsidy_exhausted", "min_blocks"),
    *("fragmented", "forbidden", "share_limit", "no_gain", "outbid"),
)


def plain_reason(residual: Residual, request: Request) -> str | None:
    """The first of the codes that a market file decides without interpretation, or None."""
    offers = residual.case.acceptable(request.chips)
    if not offers:
        return "no_chip"
    if all(offer.cards < request.cards or offer.first == offer.end for offer in offers):
        return "too_large_for_any_offer"
    held = [offer for offer in offers if residual.starts(request, offer, empty=True).size]
    if not held:
        return "no_window"
    full = residual.case.vouchers.limits
    if not any(residual.payable(request, offer, full) for offer in held):
        return "over_budget"
    if not any(residual.payable(request, offer, residual.left.budgets) for offer in held):
        return "subsidy_exhausted"
    return None


def check_reason(residual: Residual, request: Request, code: str) -> None:
    where = f"{request.ref}: {code}"
    require(code in CODES, f"{where}: there is no such code")
    plain = plain_reason(residual, request)
    plain_codes = CODES[: CODES.index("min_blocks")]
    require(plain is None or code == plain, f"{where}: the reason is {plain}")
    require(plain is not None or code not in plain_codes, f"{where}: this reason does not hold")
    if plain is not None:
        return
    by_rules = residual.fits(request, 1, RULES)
    if code == "min_blocks":
        require(residual.wanted(request) > 1 and by_rules, f"{where}: not even one block would fit")
    elif code == "fragmented":
        require(not by_rules, f"{where}: a block would fit")
        free = residual.free_card_hours(request, residual.case.acceptable(request.chips))
        require(free >= request.size, f"{where}: too few card-hours are free")
    elif code == "forbidden":
        named = any(ref == request.ref for ref, _ in residual.case.forbids)
        require(named and residual.fits(request, 1, RULES), f"{where}: nothing that is forbidden would fit")
    elif code == "share_limit":
        require(residual.case.shares and by_rules, f"{where}: no share limit is what keeps it out")
    elif code == "no_gain":
        require(residual.case.kappa_ppm and residual.fits(request, 1), f"{where}: no block would fit")
    else:
        require(not by_rules or residual.wanted(request) > 1, f"{where}: a block would fit")


def check_change(residual: Residual, request: Request, change: Json) -> None:
    """Prove that the change lets the request in where it says, and that no smaller step of its kind does."""
    kind, target = change["change"], change["to"]
    where = f"{request.ref}: change of {kind} to {target!r}"
    blocks = residual.wanted(request)
    smaller: Iterable[Request]
    if kind == "price":
        require(whole(change["from"], where) == request.most, f"{where}: from {change['from']}, not {request.most}")
        require(whole(target, where) > request.most, f"{where}: not more than now")
        changed, smaller = replace(request, most=target), [replace(request, most=target - 1)]
    elif kind == "cards":
        require(whole(change["from"], where) == request.cards, f"{where}: from {change['from']}, not {request.cards}")
        require(1 <= whole(target, where) < request.cards, f"{where}: not fewer than now")
        changed = replace(request, cards=target)
        smaller = (replace(request, cards=cards) for cards in range(target + 1, request.cards))
    elif kind == "deadline":
        require(floor_hour(parse_time(change["from"])) == request.end, f"{where}: from {change['from']}: not so")
        until = parse_hour(target)
        require(until > request.end, f"{where}: not later than now")
        changed, smaller = replace(request, end=until), [replace(request, end=until - 1)]
    else:
        require(kind == "chips", f"{where}: market files have no such change")
        require(change["from"] == request.chips, f"{where}: from {change['from']!r}, not {request.chips!r}")
        changed, smaller = replace(request, chips=f"{request.chips}|{target}"), []
    offer = next((o for o in residual.case.acceptable(changed.chips) if o.ref == change["offer_ref"]), None)
    require(offer, f"{where}: {change['offer_ref']!r} is not acceptable")
    offer = cast(Offer, offer)
    start = parse_hour(change["start"])
    here = next((starts for one, starts in residual.candidates(changed, NOTHING) if one.ref == offer.ref), None)
    require(here is not None and start in here, f"{where}: no block fits on {offer.ref} at {change['start']}")
    require(residual.fits(changed, blocks), f"{where}: {blocks} blocks do not fit")
    for less in smaller:
        require(not residual.fits(less, blocks) or not residual.gains(less), f"{where}: a smaller step would do")


def check_unmatched(residual: Residual, changes: int | None, tell: Callable[[str], None]) -> int:
    """All reasons, and `changes` evenly chosen changes (None: all). How many changes were proved."""
    case, rows = residual.case, cast(list[Json], residual.case.result["unmatched"])
    missing = {
        ref: request.blocks - residual.left.placed[ref]
        for ref, request in case.requests.items()
        if residual.left.placed[ref] < request.blocks
    }
    require(len({row["request_ref"] for row in rows}) == len(rows), "unmatched lists a request twice")
    listed = {row["request_ref"]: whole(row["blocks_unmatched"], row["request_ref"], 1) for row in rows}
    for ref in sorted(listed.keys() | missing.keys()):
        told, found = listed.get(ref, 0), missing.get(ref, 0)
        require(told == found, f"unmatched says {told} blocks of {ref}, not {found}")
    for count, row in enumerate(rows):
        if count % 500 == 0:
            tell(f"reasons: {count} of {len(rows)}")
        require(isinstance(row["detail"], str) and row["detail"], f"{row['request_ref']}: no detail")
        check_reason(residual, case.requests[row["request_ref"]], row["code"])
    pairs: list[tuple[str, Json]] = [(row["request_ref"], change) for row in rows for change in row["changes"]]
    step = 1 if changes is None else max(1, -(-len(pairs) // max(1, changes)))
    chosen = [] if changes == 0 else pairs[::step]
    for count, (ref, change) in enumerate(chosen):
        if count % 100 == 0:
            tell(f"changes: {count} of {len(chosen)}")
        check_change(residual, case.requests[ref], change)
    return len(chosen)


# --- The whole ------------------------------------------------------------------------------------------------------

TOP_KEYS = {
    "instance_sha256",
    "config",
    "status",
    "objective_fen",
    "bound_fen",
    "solver_bound_fen",
    "gap",
    "objectives",
    "run",
    "matches",
    "unmatched",
    "rejected_rows",
    "budgets",
    "duals",
}


def check_rejected(market: Market, result: Json) -> None:
    told = {(row["file"], row["line"]) for row in result["rejected_rows"]}
    for file, line in sorted(told ^ market.malformed):
        said = "rejected" if (file, line) in told else "not rejected"
        raise WrongClearingError(f"{file} line {line} is {said}, but is {'not ' * (said == 'rejected')}malformed")


def check_infeasible(case: Case) -> None:
    """A pin that is alone, of a request that asks for no second block, contradicts nothing if it has a column."""
    if len(case.pins) != 1:
        return
    ref, offer_ref, start = case.pins[0]
    residual = Residual(case, empty_market(case))
    request = case.requests[ref]
    starts = next((starts for offer, starts in residual.candidates(request, NOTHING) if offer.ref == offer_ref), None)
    holds = starts is not None and (start is None or start in starts)
    require(not holds or request.min_blocks > 1, f"infeasible, but the pin of {ref} on {offer_ref} can hold")


def check_empty(result: Json) -> str:
    """A run that ended without an outcome has nothing in it."""
    require(result["status"] in {"infeasible", "timeout", "cancelled", "failed"}, f"status {result['status']!r}")
    for key in ("matches", "unmatched", "budgets", "objectives"):
        require(not result[key], f"a run without an outcome has {key}")
    require(result["objective_fen"] is None, "a run without an outcome has an objective")
    return f"status {result['status']}: there is no outcome to check"


def check_clearing(
    folder: Path, result: Json, chips_file: Path | None, changes: int | None, tell: Callable[[str], None]
) -> str:
    """What was checked, in one line.

    Raises:
        WrongClearingError: With the first thing that is wrong.
    """
    require(result.keys() >= TOP_KEYS, f"the result lacks {sorted(TOP_KEYS - result.keys())}")
    require(re.fullmatch(r"[0-9a-f]{64}", str(result["instance_sha256"])), "instance_sha256 is not a SHA-256")
    tell("reading the market")
    market = read_market(folder, chips_file)
    check_rejected(market, result)
    case = read_case(market, result)
    if result["status"] == "infeasible":
        check_infeasible(case)
    if result["status"] not in {"optimal", "feasible"}:
        return check_empty(result)
    tell("matches")
    left = check_matches(case)
    check_budgets(case, left)
    check_objectives(case, left, tell)
    tell("what still fits")
    residual = Residual(case, left)
    check_maximal(residual)
    proved = check_unmatched(residual, changes, tell)
    return (
        f"{len(result['matches'])} matches, {len(result['unmatched'])} requests not fully matched, {proved} changes "
        f"proved; objective {result['objective_fen']}, bound {result['bound_fen']}, gap {result['gap']:.4%}"
    )


def progress(quiet: bool) -> Callable[[str], None]:
    begun, told = time.monotonic(), [0.0]

    def tell(message: str) -> None:
        now = time.monotonic()
        if not quiet and now - told[0] >= 1:
            told[0] = now
            print(f"{now - begun:6.1f} s  {message}", file=sys.stderr)

    return tell


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Check a clearing against its market, without a solver and without Cardhour.",
        epilog="Exits 0 if all of it holds, else 1 with the first thing that is wrong.",
    )
    parser.add_argument("result", type=Path, help="the file that `cardhour clear --out` wrote")
    parser.add_argument(
        "--market", type=Path, required=True, help="folder with offers, requests, buyers and suppliers.csv"
    )
    parser.add_argument("--chips", type=Path, help="chips.csv, if it isn't in the market's folder or one or two above")
    parser.add_argument(
        "--changes", type=int, default=500, metavar="N", help="prove about N of the proposed changes (default: 500)"
    )
    parser.add_argument("--all-changes", action="store_true", help="prove every proposed change")
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")
    given = parser.parse_args(arguments)
    try:
        result = json.loads(given.result.read_text(encoding="utf-8"))
        changes = None if given.all_changes else given.changes
        summary = check_clearing(given.market, result, given.chips, changes, progress(given.quiet))
    except WrongClearingError as wrong:
        print(f"wrong: {wrong}")
        return 1
    except OSError as wrong:
        print(f"can't be read: {wrong}")
        return 1
    except (KeyError, TypeError, ValueError, AttributeError) as wrong:
        print(f"wrong: the result does not have the form of a clearing: {type(wrong).__name__}: {wrong}")
        return 1
    print(f"holds: {summary}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
