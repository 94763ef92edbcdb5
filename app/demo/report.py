"""The demo's report: what was booked at what price, how full each chip class is, who was refused and why."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from app.client.types import RequestOut, ReservationOut
from app.demo.clearing import PROGRAMME, Cleared, told
from app.demo.story import Ask, Story
from app.kit.money import format_cny
from app.matching.core.outcome import Outcome

_SHOWN: Final = 12
_WIDE: Final = 100
_BAR: Final = 32
_FULL, _BUSY = 0.85, 0.5


def print_report(console: Console, story: Story) -> None:
    """Print the whole report."""
    for part in _parts(story, console.width):
        console.print(part)


def print_clearing(console: Console, cleared: Cleared) -> None:
    """Print what clearing the whole market at once would have done, beside first come, first served."""
    console.print(_rule(f"The same market cleared as a whole, with vouchers of {PROGRAMME}"))
    console.print(_compared(cleared))
    gain = (cleared.clearing.objective_fen or 0) / max(1, cleared.first_come.objective_fen or 0) - 1
    text = Text.assemble((f"{gain:+.1%} surplus", "bold green"), " for the buyers. The gap is certified: ")
    text.append("the best outcome there is lies no further away. ")
    text.append(f"{len(cleared.clearing.unmatched)} requests are not fully matched, such as:")
    console.print(Padding(text, (1, 0, 0, 0)))
    console.print(_examples(cleared))


def _compared(cleared: Cleared) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    table.add_column("first come", justify="right")
    table.add_column("clearing", justify="right", style="bold")
    both = (cleared.first_come, cleared.clearing)
    table.add_row("blocks matched", *(f"{len(each.matches)} of {cleared.blocks}" for each in both))
    table.add_row("buyers' surplus, CNY", *(_money(each.objective_fen or 0) for each in both))
    table.add_row("subsidy used, CNY", *(f"{_money(_subsidy(each))} of {_money(cleared.pool_fen)}" for each in both))
    table.add_row("gap to the bound", *("-" if each.gap is None else f"{100 * each.gap:.1f} %" for each in both))
    return table


def _subsidy(outcome: Outcome) -> int:
    return sum(match.subsidy_fen for match in outcome.matches)


def _examples(cleared: Cleared) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("request", "why not", "what would change it"):
        table.add_column(head)
    for each in cleared.examples():
        table.add_row(each.request, each.detail, told(each.changes[0]))
    return Padding(table, (1, 0, 0, 0))


def _parts(story: Story, width: int) -> Iterator[RenderableType]:
    yield _rule("Booked: first come, first served (prices in CNY per card-hour)")
    yield _booked(story, width)
    yield _totals(story)
    yield _rule("How full each chip class is")
    yield _utilisation(story)
    yield _rule("Refused, and why")
    yield _refused(story)
    yield _closer_look(story)


def _rule(title: str) -> RenderableType:
    return Padding(Rule(Text(title, "bold"), align="left", style="dim"), (1, 0, 0, 0))


def _booked(story: Story, width: int) -> RenderableType:
    rows: list[tuple[str | Text, ...]] = []
    for ask in story.booked[:_SHOWN]:
        first = ask.reservations[0]
        offer = story.offers[first["offer_id"]]
        rows.append(
            (
                _name(ask.request["buyer"]["ref"]),
                f"{_times(ask)}{first['cards']} × {first['chip_model']}, {first['hours']} h",
                _name(offer["supplier"]["ref"]),
                _day(first["starts_at"]),
                format_cny(first["price_fen"]),
                Text(f"{100 * first['price_fen'] / offer['list_price_fen']:.0f} %", "green"),
                _money(sum(each["net_fen"] for each in ask.reservations)),
            )
        )
    heads = ("buyer", "got", "from supplier", "begins", ">price", ">of list", ">CNY")
    # The supplier is left out where the terminal is too narrow for it.
    shown = [index for index in range(len(heads)) if index != heads.index("from supplier") or width >= _WIDE]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index in shown:
        right = heads[index].startswith(">")
        table.add_column(heads[index].removeprefix(">"), justify="right" if right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(row[index] for index in shown))
    return table


def _totals(story: Story) -> RenderableType:
    reserved = [each for ask in story.booked for each in ask.reservations]
    paid = sum(each["net_fen"] for each in reserved)
    listed = sum(story.offers[each["offer_id"]]["list_price_fen"] * _card_hours(each) for each in reserved)
    more = len(story.booked) - _SHOWN
    text = Text(f"… and {more} more requests. " if more > 0 else "")
    text.append(f"{len(story.booked)} of {len(story.asks)} requests are met: ")
    text.append(f"{sum(map(_card_hours, reserved)):,} card-hours", "bold")
    text.append(f" for {_money(paid)} CNY, ")
    text.append(f"{_money(listed - paid)} CNY below list price", "bold green")
    text.append(". Every one is confirmed by both sides.")
    return Padding(text, (1, 0, 0, 0))


def _utilisation(story: Story) -> RenderableType:
    total, reserved = Counter[str](), Counter[str]()
    for offer_id, offer in story.offers.items():
        for segment in story.capacity[offer_id]["segments"]:
            hours = _hours(segment["from"], segment["to"])
            chip_class = offer["chip"]["chip_class"] or "unclassified"
            total[chip_class] += round(segment["total"] * hours)
            reserved[chip_class] += round(segment["reserved"] * hours)
    table = Table(box=None, pad_edge=False, show_header=False)
    for chip_class, card_hours in sorted(total.items(), key=lambda each: -reserved[each[0]] / each[1]):
        share = reserved[chip_class] / card_hours
        colour = "red" if share >= _FULL else "yellow" if share >= _BUSY else "green"
        filled = round(share * _BAR)
        bar = Text.assemble(("█" * filled, colour), ("░" * (_BAR - filled), "dim"))
        table.add_row(chip_class, bar, f"{100 * share:.0f} %", f"{reserved[chip_class]:,} of {card_hours:,} card-hours")
    return table


def _refused(story: Story) -> RenderableType:
    by_code: dict[str, list[Ask]] = defaultdict(list)
    for ask in story.refused:
        by_code[ask.code or ""].append(ask)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", justify="right")
    table.add_column("reason")
    table.add_column("such as", no_wrap=True)
    for _, asks in sorted(by_code.items(), key=lambda each: -len(each[1])):
        request = asks[0].request
        table.add_row(str(len(asks)), asks[0].reason, f"{_name(request['buyer']['ref'])}: {_wish(request)}")
    return table


def _closer_look(story: Story) -> RenderableType:
    hopeless = next((ask for ask in story.refused if ask.code == "too_large_for_any_offer"), None)
    if hopeless is None:
        return Text("")
    cards = hopeless.request["alternatives"][0]["cards"]
    largest = max(segment["total"] for each in story.capacity.values() for segment in each["segments"])
    text = Text.assemble(
        (_name(hopeless.request["ref"]), "bold"),
        f" asks for {cards} cards side by side; the largest offer here has {largest}. It was taken all the same and "
        "stays open: a larger offer may come. It is told so when it is posted, and by every quote.",
    )
    return Padding(text, (1, 0, 0, 0))


def _times(ask: Ask) -> str:
    return f"{len(ask.reservations)} × " if len(ask.reservations) > 1 else ""


def _wish(request: RequestOut) -> str:
    alternative = request["alternatives"][0]
    limit = format_cny(alternative["max_net_price_fen"])
    return f"{alternative['cards']} × {alternative['chips']}, {alternative['hours']:g} h, ≤ {limit}"


def _name(ref: str) -> str:
    """Return a reference without the namespace of a later run."""
    return ref.rpartition(":")[2]


def _card_hours(reservation: ReservationOut) -> int:
    return reservation["cards"] * reservation["hours"]


def _hours(starts_at: str, ends_at: str) -> float:
    return (datetime.fromisoformat(ends_at) - datetime.fromisoformat(starts_at)).total_seconds() / 3600


def _day(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone().strftime("%m-%d %H:%M")


def _money(fen: int) -> str:
    return f"{round(fen / 100):,}"


def lines(commands: Iterable[str]) -> Text:
    """Return commands as they are to be copied: one a line, never wrapped or coloured."""
    return Text("\n".join(commands), no_wrap=True, overflow="ignore")
