"""`cardhour offers`: what is for sale, and what really can be had of it."""

from itertools import islice
from typing import Annotated

import typer

from app.client.types import FoundOfferOut, OfferIn, OfferOut, OfferSort, OfferState
from app.commands.console import (
    TIME_HELP,
    AsJson,
    Quiet,
    api,
    cny,
    fen,
    local_time,
    moment,
    print_fields,
    print_ids,
    print_json,
    print_one,
    print_table,
)

offers = typer.Typer(help="Offers: list and search, show, capacity, post, withdraw.", no_args_is_help=True)

OfferId = Annotated[str, typer.Argument(help="The offer's id (offer_…).")]
From = Annotated[str | None, typer.Option("--from", help=f"{TIME_HELP}.", parser=moment, metavar="TIME")]
To = Annotated[str | None, typer.Option("--to", help=f"{TIME_HELP}.", parser=moment, metavar="TIME")]


@offers.command("list")
def list_offers(
    cards: Annotated[int | None, typer.Option(min=1, help="Shape: cards side by side.")] = None,
    hours: Annotated[int | None, typer.Option(min=1, help="Shape: whole hours in a row.")] = None,
    earliest: From = None,
    deadline: To = None,
    chip: Annotated[list[str] | None, typer.Option(help="Only this chip model; repeatable.")] = None,
    chip_class: Annotated[str | None, typer.Option("--class", help="Only this chip class.")] = None,
    region: Annotated[list[str] | None, typer.Option(help="Only in this region; repeatable.")] = None,
    supplier: Annotated[list[str] | None, typer.Option(help="Only of this supplier's reference; repeatable.")] = None,
    domestic: Annotated[bool | None, typer.Option("--domestic/--foreign", help="Only domestic chips.")] = None,
    max_price: Annotated[
        int | None, typer.Option(help="At most this per card-hour, in CNY.", parser=fen, metavar="CNY")
    ] = None,
    interconnect: Annotated[int | None, typer.Option(min=0, help="At least so many Gbit/s.")] = None,
    state: Annotated[OfferState | None, typer.Option(help="In this state; open by default.")] = None,
    sort: Annotated[OfferSort | None, typer.Option(help="The order.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """List offers; with a shape (--cards, --hours, --from, --to) those that really can hold it, and from when.

    Example: `cardhour offers list --class A100-class --cards 8 --hours 48 --from now --to +7d`
    """
    with api() as client:
        each = client.offers.each(
            cards=cards,
            hours=hours,
            from_=earliest,
            to=deadline,
            chip_model=chip or (),
            chip_class=chip_class,
            region=region or (),
            supplier=supplier or (),
            domestic=domestic,
            max_price_fen=max_price,
            min_interconnect_gbps=interconnect,
            state=state,
            sort=sort,
        )
        found = list(islice(each, limit))
    if as_json or quiet:
        print_json(found) if as_json else print_ids(found)
    else:
        _table(found, with_shape=cards is not None)


def _table(found: list[FoundOfferOut], *, with_shape: bool) -> None:
    columns = ("id", "ref", "supplier", "chip", "region", ">node", ">Gbit/s", ">CNY/card-hour", ">list")
    shape_columns = ("earliest", ">total CNY") if with_shape else ()
    rows = (
        (
            row["id"],
            row["ref"],
            row["supplier"]["name"],
            row["chip_model"],
            row["region"],
            row["cards_per_node"],
            row["interconnect_gbps"],
            cny(row["price_fen"]),
            cny(row["list_price_fen"]),
            *((local_time(row["earliest_start"]), cny(row["total_fen"])) if with_shape else ()),
        )
        for row in found
    )
    print_table((*columns, *shape_columns), rows, empty="No offer matches.")


def _show(offer: OfferOut) -> None:
    chip = offer["chip"]
    print_fields(
        (
            ("id", offer["id"]),
            ("ref", offer["ref"]),
            ("state", offer["state"]),
            ("supplier", f"{offer['supplier']['name']} ({offer['supplier']['ref']})"),
            ("chip", f"{offer['chip_model']}, {chip['chip_class']}, {chip['memory_gb']} GB"),
            ("region", offer["region"]),
            ("node", f"{offer['cards_per_node']} cards"),
            ("interconnect", offer["interconnect_gbps"] and f"{offer['interconnect_gbps']} Gbit/s"),
            ("price", f"{cny(offer['price_fen'])} CNY per card-hour (list {cny(offer['list_price_fen'])})"),
            ("accepts at once", offer["auto_accept"]),
            ("said at", local_time(offer["observed_at"])),
        )
    )


@offers.command("show")
def show(offer_id: OfferId, as_json: AsJson = False) -> None:
    """Show one offer.

    Example: `cardhour offers show offer_…`
    """
    with api() as client:
        offer = client.offers.read(offer_id)
    print_json(offer) if as_json else _show(offer)


@offers.command("capacity")
def capacity(offer_id: OfferId, earliest: From = None, deadline: To = None, as_json: AsJson = False) -> None:
    """Show how many cards of an offer there are, are reserved and are free, interval by interval.

    Example: `cardhour offers capacity offer_… --from now --to +14d`
    """
    with api() as client:
        told = client.offers.capacity(offer_id, from_=earliest, to=deadline)
    if as_json:
        print_json(told)
        return
    print_table(
        ("from", "to", ">cards", ">reserved", ">free"),
        (
            (local_time(row["from"]), local_time(row["to"]), row["total"], row["reserved"], row["free"])
            for row in told["segments"]
        ),
        empty="There is no capacity in this window.",
    )


@offers.command("post")
def post(
    chip: Annotated[str, typer.Option(help="The chip model, as in the catalogue.")],
    region: Annotated[str, typer.Option(help="Where it stands.")],
    cards: Annotated[int, typer.Option(min=1, help="So many cards.")],
    price: Annotated[int, typer.Option(help="Per card-hour, in CNY.", parser=fen, metavar="CNY")],
    earliest: Annotated[str, typer.Option("--from", help=f"{TIME_HELP}.", parser=moment, metavar="TIME")],
    deadline: Annotated[str, typer.Option("--to", help=f"{TIME_HELP}.", parser=moment, metavar="TIME")],
    list_price: Annotated[
        int | None, typer.Option(help="List price per card-hour, in CNY.", parser=fen, metavar="CNY")
    ] = None,
    node: Annotated[int, typer.Option(min=1, help="Cards per node.")] = 8,
    interconnect: Annotated[int | None, typer.Option(min=0, help="Gbit/s between nodes.")] = None,
    auto_accept: Annotated[bool, typer.Option(help="Accept every booking at once.")] = False,
    ref: Annotated[str | None, typer.Option(help="Your own reference.")] = None,
    supplier: Annotated[str | None, typer.Option(help="For this organisation (org_…), by the desk.")] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """List so many cards from one time to another (stepped capacity: the API or an import).

    Example: `cardhour offers post --chip "Ascend 910B" --region 成都 --cards 32 --price 8.80 --from now --to +30d`
    """
    body: OfferIn = {
        "supplier_org_id": supplier,
        "ref": ref,
        "chip_model": chip,
        "region": region,
        "cards_per_node": node,
        "interconnect_gbps": interconnect,
        "price_fen": price,
        "list_price_fen": list_price,
        "auto_accept": auto_accept,
        "capacity": [{"starts_at": earliest, "cards": cards}, {"starts_at": deadline, "cards": 0}],
    }
    with api() as client:
        offer = client.offers.create(body)
    print_one(offer, _show, as_json=as_json, quiet=quiet)


@offers.command("withdraw")
def withdraw(offer_id: OfferId, as_json: AsJson = False) -> None:
    """Take an offer off the market; what is reserved on it stays.

    Example: `cardhour offers withdraw offer_…`
    """
    with api() as client:
        offer = client.offers.withdraw(client.offers.read(offer_id))
    print_json(offer) if as_json else _show(offer)
