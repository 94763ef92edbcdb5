"""`cardhour quote` and `cardhour book`: where a need fits now, and holding it."""

from typing import Annotated

import typer
from rich.text import Text

from app.client.types import OptionOut, QuoteIn, QuoteOut
from app.commands.console import (
    TIME_HELP,
    AsJson,
    Quiet,
    api,
    cny,
    fen,
    local_time,
    moment,
    out,
    print_json,
    print_one,
    print_table,
)
from app.commands.reservations import print_reservations


def add_booking_commands(app: typer.Typer) -> None:
    """Add `quote` and `book` to the command line."""
    app.command()(quote)
    app.command()(book)


def quote(
    request: Annotated[str | None, typer.Argument(help="A posted request (req_…); else say the need below.")] = None,
    chips: Annotated[str, typer.Option(help="any, domestic, class:NAME, a model, or several joined by |.")] = "any",
    cards: Annotated[int | None, typer.Option(min=1, help="Cards side by side on one offer.")] = None,
    hours: Annotated[float | None, typer.Option(help="Hours in a row; reserved rounded up.")] = None,
    max_price: Annotated[
        int | None, typer.Option(help="The most to pay per card-hour, in CNY.", parser=fen, metavar="CNY")
    ] = None,
    earliest: Annotated[
        str, typer.Option("--from", help=f"Earliest start: {TIME_HELP}.", parser=moment, metavar="TIME")
    ] = "now",
    deadline: Annotated[
        str | None, typer.Option("--to", help=f"Deadline: {TIME_HELP}.", parser=moment, metavar="TIME")
    ] = None,
    region: Annotated[list[str] | None, typer.Option(help="Only in this region; repeatable.")] = None,
    blocks: Annotated[int | None, typer.Option(min=1, help="So many blocks.")] = None,
    buyer: Annotated[str | None, typer.Option(help="For this organisation (org_…), by the desk.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=20, help="Options at most.")] = 5,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Ask where a request, or a need, fits now: the best options, each bookable, or the reason why there is none.

    Net prices are what is left to pay after the buyer's vouchers, which booking sets aside. Exits 1 where there is
    none. Example: `cardhour quote --chips class:A100-class --cards 8 --hours 24 --to +7d`
    """
    body: QuoteIn = {"limit": limit, "buyer_org_id": buyer}
    if request is not None:
        body |= {"request_id": request, "blocks": blocks}
    elif cards is None or hours is None or deadline is None:
        raise typer.BadParameter("give a request (req_…), or --cards, --hours and --to")
    else:
        body["need"] = {
            "alternatives": [{"chips": chips, "cards": cards, "hours": hours, "max_net_price_fen": max_price}],
            "earliest_start": earliest,
            "deadline": deadline,
            "blocks": blocks or 1,
            "site": {"regions": region or []},
        }
    with api() as client:
        answer = client.quotes.ask(body)
    print_one(answer, _show, as_json=as_json, quiet=quiet)
    if not answer["options"]:
        raise typer.Exit(1)


def book(
    quote_id: Annotated[str, typer.Argument(help="The quote's id (quote_…).")],
    option: Annotated[int, typer.Option(min=1, help="Which of its options.")] = 1,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Hold an option of a quote: its cards are yours until the hold ends; accept to confirm.

    Example: `cardhour book quote_… --option 1`
    """
    with api() as client:
        made = client.reservations.book(quote_id, option)["data"]
    if as_json:
        print_json(made)
    elif quiet:
        typer.echo("\n".join(reservation["id"] for reservation in made))
    else:
        print_reservations(made, empty="Nothing was held.")
        out.print(
            f"\nThe hold ends {local_time(made[0]['hold_ends_at'])}; accept with: "
            f"cardhour reservations accept {made[0]['id']}",
            highlight=False,
            soft_wrap=True,
        )


def _show(answer: QuoteOut) -> None:
    if answer["reason"] is not None:
        out.print(Text.assemble(("No option: ", "bold red"), answer["reason"]["detail"]), soft_wrap=True)
        return
    titles = [">option", "offer", "supplier", "chip", "region", "from", ">cards", ">hours", ">CNY/card-hour"]
    given = [each for option in answer["options"] for place in option["placements"] for each in place["subsidies"]]
    # Where no voucher takes anything off, nobody need read of them.
    titles += [">voucher CNY", "programme"] * bool(given) + [">net CNY"]
    print_table(
        tuple(titles),
        (row for option in answer["options"] for row in _option_rows(option, has_vouchers=bool(given))),
        empty="",
    )
    out.print(
        f"\nGood until {local_time(answer['expires_at'])}; book with: cardhour book {answer['id']} --option 1",
        highlight=False,
        soft_wrap=True,
    )


def _option_rows(option: OptionOut, *, has_vouchers: bool) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for position, placement in enumerate(option["placements"]):
        row: list[object] = [
            option["option"] if position == 0 else "",
            placement["offer_ref"],
            placement["supplier"]["name"],
            placement["chip_model"],
            placement["region"],
            local_time(placement["starts_at"]),
            placement["cards"],
            placement["hours"],
            cny(placement["price_fen"]),
        ]
        if has_vouchers:
            given = placement["subsidies"]
            names = ", ".join(f"{each['programme']} ({each['tier']})" for each in given)
            row += [cny(placement["subsidy_fen"]) if given else "", names]
        rows.append((*row, cny(placement["net_fen"])))
    return rows
