"""`cardhour programmes`: voucher programmes and the years they are open for."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from app.commands.console import AsJson, api, cny, fen, out, print_fields, print_json, print_table
from app.commands.explaining import contract_json, read_buyer, read_contract, read_left, read_supplier
from app.vouchers.explaining import explanation
from app.vouchers.findings import EN, ZH
from app.vouchers.programmes import (
    Programme,
    ProgrammeError,
    file_text,
    load_programme,
    parse_programme,
    read_text,
    shipped_programmes,
)
from app.vouchers.stacking import decide_together

programmes = typer.Typer(
    help="Voucher programmes: list, show, check and explain files; drafts, publishing, years.", no_args_is_help=True
)
Shipped = Annotated[bool, typer.Option("--shipped", help="Those that come with Cardhour; needs no service.")]
Named = Annotated[str, typer.Argument(help="The programme's id, or a file of one (.toml).")]
WRONG = 1
PARTNER = "partner=yes"


def _wrong(error: ProgrammeError) -> typer.Exit:
    """Tell each fault of a file on a line of its own and return the exit with it."""
    for line, key, text in error.problems:
        place = f"{error.source}{'' if line is None else f':{line}'}{f': {key}' if key else ''}"
        out.print(f"[bold red]wrong[/]: {escape(place)}: {escape(text)}", highlight=False, soft_wrap=True)
    return typer.Exit(WRONG)


def _load(name: str) -> Programme:
    try:
        return load_programme(name)
    except ProgrammeError as error:
        raise _wrong(error) from None


@programmes.command("list")
def list_programmes(as_json: AsJson = False, shipped: Shipped = False) -> None:
    """List the voucher programmes and the years they are open for.

    Example: `cardhour programmes list --shipped`
    """
    if shipped:
        rows = [_summary(_load(name)) for name in shipped_programmes()]
        if as_json:
            print_json(rows)
            return
        columns = ("id", "version", "title", "grade", "tiers", "pool_year_cny", "buyer_year_cny")
        print_table(columns, ([row[column] for column in columns] for row in rows), empty="None is shipped.")
        return
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


def _summary(programme: Programme) -> dict[str, Any]:
    return {
        "id": programme.id,
        "version": programme.version,
        "title": programme.title.en,
        "grade": programme.grade,
        "tiers": [tier.id for tier in programme.tiers],
        "pool_year_cny": programme.pool_year_cny,
        "buyer_year_cny": programme.buyer_year_cny,
    }


@programmes.command()
def show(name: Named, as_json: AsJson = False, shipped: Shipped = False) -> None:
    """Print a programme's file as it is, with its comments.

    Example: `cardhour programmes show chengdu-2023 --shipped`
    """
    try:
        if shipped or Path(name).suffix == ".toml":
            text = read_text(name)
        else:
            with api() as client:
                text = client.programmes.read(name)["toml"]
        found = parse_programme(text, Path(name).name)
    except ProgrammeError as error:
        raise _wrong(error) from None
    if as_json:
        print_json(found.numbers())
    else:
        typer.echo(text.rstrip("\n"))


@programmes.command()
def check(file: Annotated[Path, typer.Argument(help="The file.")]) -> None:
    """Check a programme's file: each fault is told by line and key. Needs no service.

    Example: `cardhour programmes check suzhou.toml`
    """
    try:
        found = parse_programme(file_text(file), file.name)
    except ProgrammeError as error:
        raise _wrong(error) from None
    tiers = ", ".join(tier.id for tier in found.tiers)
    out.print(f"{file.name} is good: {found.id} version {found.version}, tiers {tiers}", highlight=False)


@programmes.command()
def explain(
    names: Annotated[list[str], typer.Argument(help="Programmes, or files (.toml); several are tried together too.")],
    contract: Annotated[str, typer.Option(help="amount=CNY,signed=DAY,hours=N,domestic=yes,storage=CNY …")],
    buyer: Annotated[str, typer.Option(help="An organisation's id, or kind=sme,revenue=CNY,integrity=clean …")],
    supplier: Annotated[str, typer.Option(help="An organisation's id, or partner=yes,affiliated=no …")] = PARTNER,
    left: Annotated[
        str | None, typer.Option(help="What is left of the first one's budgets: pool=CNY,buyer_year=CNY,tier=CNY.")
    ] = None,
    chinese: Annotated[bool, typer.Option("--zh", help="Tell it in Chinese.")] = False,
    as_json: AsJson = False,
) -> None:
    """Explain what programmes give for a contract: each clause, met or not, and the arithmetic.

    With facts it needs no service; with an organisation's id the service reads its verified facts and what is left.

    Example: `cardhour programmes explain chengdu-2023 --buyer kind=sme,revenue=10000000,integrity=clean
    --contract amount=3000000,signed=2026-03-01`
    """
    terms = read_contract(contract, datetime.now(UTC))
    if buyer.startswith("org_"):
        if left is not None or not (supplier == PARTNER or supplier.startswith("org_")):
            raise typer.BadParameter("with an organisation as buyer the service knows --left; --supplier is one too")
        body: Any = {
            "with_programmes": names[1:],
            "buyer_org_id": buyer,
            "supplier_org_id": supplier if supplier.startswith("org_") else None,
            "contract": contract_json(terms),
        }
        with api() as client:
            shown: Any = client.programmes.explain(names[0], body)
    else:
        chosen = [_load(name) for name in names]
        ids = [programme.id for programme in chosen]
        if len(set(ids)) != len(ids):
            raise typer.BadParameter("a programme is named twice")
        choices = decide_together(
            chosen, terms, read_buyer(buyer), read_supplier(supplier, chosen), read_left(left, chosen)
        )
        shown = explanation(choices, ZH if chinese else EN).model_dump(mode="json")
    if as_json:
        print_json(shown)
        return
    for number, choice in enumerate(shown["choices"], start=1):
        _tell_choice(number, choice)


def _tell_choice(number: int, choice: Any) -> None:
    names = " + ".join(choice["programmes"])
    out.print(f"[bold]{number}. {escape(names)}: {cny(choice['amount_fen'])} CNY[/]", highlight=False)
    for decision in choice["decisions"]:
        for tier in decision["tiers"]:
            chosen = " (chosen)" if tier["tier"] == decision["tier"] else ""
            out.print(f"   {decision['programme']} {tier['tier']}{chosen}", highlight=False, markup=False)
            for clause in tier["clauses"]:
                mark = "yes" if clause["met"] else "NO "
                out.print(f"     {mark} {clause['told']}", highlight=False, markup=False, soft_wrap=True)
            for step in tier["arithmetic"]:
                out.print(f"       = {step['told']}", highlight=False, markup=False, soft_wrap=True)
        for told in decision["desk_checks"]:
            out.print(f"     desk: {told}", highlight=False, markup=False, soft_wrap=True)


@programmes.command()
def draft(
    file: Annotated[Path, typer.Argument(help="The file.")],
    replace: Annotated[bool, typer.Option(help="Put it in the place of the draft of its version.")] = False,
    as_json: AsJson = False,
) -> None:
    """Store a file as a draft under its own id and version (the desk).

    Example: `cardhour programmes draft suzhou.toml`
    """
    try:
        text = file_text(file)
        found = parse_programme(text, file.name)
    except ProgrammeError as error:
        raise _wrong(error) from None
    with api() as client:
        if replace:
            made = client.programmes.change(found.id, found.version, text, etag="*")
        else:
            made = client.programmes.draft(text)
    _tell_version(made, as_json=as_json)


@programmes.command()
def versions(programme_id: Annotated[str, typer.Argument(help="The programme's id.")], as_json: AsJson = False) -> None:
    """List a programme's versions, the newest first; drafts for the desk and auditors.

    Example: `cardhour programmes versions suzhou-example`
    """
    with api() as client:
        found = client.programmes.versions(programme_id)["data"]
    if as_json:
        print_json(found)
        return
    columns = ("version", "state", "tiers", "stored_at", "sha256")
    rows: list[Any] = list(found)
    print_table(columns, ([row[column] for column in columns] for row in rows), empty="There is none.")


@programmes.command()
def publish(
    programme_id: Annotated[str, typer.Argument(help="The programme's id.")],
    version: Annotated[int, typer.Argument(help="The draft's version.")],
    as_json: AsJson = False,
) -> None:
    """Publish a draft: from then on it never changes (the desk).

    Example: `cardhour programmes publish suzhou-example 2`
    """
    with api() as client:
        done = client.programmes.publish(programme_id, version, etag="*")
    _tell_version(done, as_json=as_json)


def _tell_version(row: Any, *, as_json: bool) -> None:
    if as_json:
        print_json(row)
    else:
        out.print(f"{row['programme']} version {row['version']} is {row['state']}", highlight=False)


@programmes.command()
def simulate(
    name: Named,
    version: Annotated[int | None, typer.Option(min=1, help="Which version; else the newest, a draft too.")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what a version, or a file, would have given the contracts on record (the desk, auditors).

    Example: `cardhour programmes simulate suzhou.toml`
    """
    body: Any = {"version": version}
    if Path(name).suffix == ".toml":
        try:
            text = file_text(Path(name))
            name = parse_programme(text, Path(name).name).id
        except ProgrammeError as error:
            raise _wrong(error) from None
        body = {"toml": text}
    with api() as client:
        found: Any = client.programmes.simulate(name, body)
    if as_json:
        print_json(found)
        return
    rows = [(year["year"], year) for year in found["years"]] + [("open requests", found["requests"])]
    print_table(
        ("of", "contracts", "eligible", "given something", "cost", "would give", "were given", "most often missed"),
        (
            (
                of,
                tally["contracts"],
                tally["eligible"],
                tally["granted"],
                cny(tally["cost_fen"]),
                cny(tally["amount_fen"]),
                cny(tally["subsidised_fen"]),
                [each["clause"] for each in tally["missed"][:3]],
            )
            for of, tally in rows
        ),
        empty="Nothing is on record.",
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
