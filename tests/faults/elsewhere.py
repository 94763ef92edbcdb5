"""A PostgreSQL that is not the service's own: it is reached by an address, through a proxy that can misbehave."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.kit.embedded import EmbeddedPostgres
from tests.faults.harness import cardhour
from tests.faults.proxy import Proxy


@dataclass
class Elsewhere:
    """The server, the proxy before it, and the settings of a service that uses it."""

    postgres: EmbeddedPostgres
    proxy: Proxy
    settings: dict[str, str]


@contextmanager
def postgres_elsewhere(folder: Path, seed: int, **more: str) -> Generator[Elsewhere]:
    """Run and migrate a PostgreSQL behind a proxy."""
    postgres = EmbeddedPostgres(folder / "data")
    postgres.start()
    try:
        lines = (folder / "data" / "postgres" / "postmaster.pid").read_text().splitlines()
        with Proxy(f"{lines[4]}/.s.PGSQL.{lines[3]}", seed).running() as proxy:
            settings = {"DATABASE_URL": f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres"} | more
            migrated = cardhour(folder / "data", "migrate", **settings)
            assert migrated.returncode == 0, migrated.stderr
            yield Elsewhere(postgres, proxy, settings)
    finally:
        postgres.release()
