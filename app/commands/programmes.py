"""`cardhour programmes`: voucher programmes and the years they are open for."""

from typing import Annotated

import typer

from app.commands.console import AsJson, api, cny, fen, print_fields, print_json, print_table

programmes = typer.Typer(help="Voucher programmes: list, open for a year.", no_args_is_help=True)


@programmes.command("list")
def list_programmes(as_json: AsJson = False) -> None:
    """List the voucher programmes and the years they are open for.

    Example: `cardhour programmes list`
    """
    with api() as client:
        found = client.programmes.list()["data"]
    if as_json:
        print_json(found)
        return
    print_table(
        ("id", "version", "title", "grade", "tiers", "open for"),
        (
            (
                row["id"],
                row["version"],
                row["title"]["en"],
                row["grade"],
                row["tiers"],
                [year["year"] for year in row["years"]],
            )
            for row in found
        ),
        empty="No programme is stored; run: cardhour migrate",
    )


@programmes.command("open")
def open_programme(
    programme_id: Annotated[str, typer.Argument(help="The programme's id.")],
    year: Annotated[int, typer.Option(min=2000, max=2200, help="The calendar year in the programme's time zone.")],
    pool: Annotated[str | None, typer.Option(help="What all buyers may get, in CNY; else its own pool.")] = None,
    buyer_year: Annotated[str | None, typer.Option(help="What one buyer may get, in CNY; else its own cap.")] = None,
    as_json: AsJson = False,
) -> None:
    """Open a programme for a year, once: its pool is put on the ledger (the desk).

    Example: `cardhour programmes open open-example --year 2026`
    """
    pool_fen = None if pool is None else fen(pool)
    buyer_year_fen = None if buyer_year is None else fen(buyer_year)
    with api() as client:
        opened = client.programmes.open(programme_id, year, pool_fen=pool_fen, buyer_year_fen=buyer_year_fen)
    if as_json:
        print_json(opened)
        return
    print_fields(
        (
            ("programme", f"{programme_id} version {opened['version']}"),
            ("year", opened["year"]),
            ("pool", cny(opened["pool_fen"]) or "no cap"),
            ("buyer's cap", cny(opened["buyer_year_fen"]) or "no cap"),
        )
    )
