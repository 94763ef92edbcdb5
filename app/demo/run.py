"""`cardhour demo`: the sample market on the embedded PostgreSQL, through the API of a service really started."""

import asyncio
import json
import shlex
import sys
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from app import local
from app.accounts.models import Role
from app.demo.clearing import Clearing
from app.demo.report import lines, print_clearing, print_report
from app.demo.service import serving
from app.demo.story import Market, Story, play
from app.kit.time import floor_hour, format_rfc3339, utc_now
from app.runtime import Runtime
from app.settings import Settings

_DESK: Final = "示例撮合席"
_URL: Final = "http://127.0.0.1:8000"


def run_demo(settings: Settings, console: Console) -> None:
    """Run the demo and print its report; can be run again on the same data folder.

    Args:
        settings: the data folder is taken from here; DATABASE_URL is not used, so that no real market is touched.
        console: where the report goes.

    Raises:
        RuntimeError: if PostgreSQL or the service does not come up.
    """
    began = time.monotonic()
    runtime = Runtime(settings.model_copy(update={"database_url": None}))
    with Clearing() as clearing, console.status("Starting PostgreSQL …") as status:
        runtime.start()
        try:
            asyncio.run(local.migrate(runtime))
            key = asyncio.run(local.create_local_key(runtime, name=_DESK, roles=[Role.DESK], label="demo"))
            status.update("Starting the service …")
            with serving(runtime.data_dir) as url, closing(Market(url, key)) as market:
                status.update("Importing the sample market …")
                market.bring_in(format_rfc3339(floor_hour(utc_now())))
                story = play(market, lambda ref: status.update(f"{ref} asks for a quote …"))
        finally:
            runtime.close()
        status.update("Clearing the same market as a whole (the first time, the engine is compiled) …")
        cleared = clearing.result()
    console.print(
        Text.assemble(
            ("Cardhour demo", "bold"),
            f": {len(story.offers)} offers of {story.suppliers} suppliers, {len(story.asks)} requests of "
            f"{story.buyers} buyers, all made up, for the next two weeks.",
        )
    )
    print_report(console, story)
    print_clearing(console, cleared)
    _print_next(console, story, runtime.data_dir, key)
    console.print(f"\n[dim]It took {time.monotonic() - began:.0f} s.[/]")


def _print_next(console: Console, story: Story, data_dir: Path, key: str) -> None:
    console.print("\n[bold]Next[/]: start the service on this very market")
    console.print(lines([f"  CARDHOUR_DATA_DIR={_shown(data_dir)} {_shown(_command())} serve"]), soft_wrap=True)
    console.print("and, in another terminal, copy and paste (the key is the desk's):")
    console.print(lines(f"  {command}" for command in _tour(story, key)), soft_wrap=True)


def _tour(story: Story, key: str) -> list[str]:
    now = floor_hour(utc_now())
    window = f"from={format_rfc3339(now)}&to={format_rfc3339(now + timedelta(days=7))}"
    request = story.refused[0].request["id"]
    reservation = story.booked[0].reservations[0]["id"]
    quote = json.dumps({"request_id": request})
    signed = 'curl -sS -H "Authorization: Bearer $CARDHOUR_API_KEY"'
    return [
        f"export CARDHOUR_API_KEY={key}",
        f"{signed} '{_URL}/v1/offers?chip_class=A100-class&cards=8&hours=24&{window}'",
        f"{signed} -H 'Content-Type: application/json' -d '{quote}' {_URL}/v1/quotes",
        f"{signed} {_URL}/v1/reservations/{reservation}",
        f"{_shown(_command())} offers list --class H100-class --cards 8 --hours 24 --from now --to +14d",
    ]


def _command() -> Path:
    return Path(sys.executable).parent / "cardhour"


def _shown(path: Path) -> str:
    """Return a path as one would type it: relative where it lies below the present folder."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
