"""What a process of ours runs on: the database it was given or the embedded one, opened per role, and the secret."""

from pathlib import Path
from typing import Final

from sqlalchemy.engine import URL

from app.kit.db import Database, async_url
from app.kit.embedded import EmbeddedPostgres, load_or_make_secret
from app.kit.pages import CursorSigner
from app.kit.time import utc_now
from app.kit.web import AppContext
from app.settings import Settings

_SUPERUSER: Final = "postgres"


class Runtime:
    """The settings brought to life. `start` before use, `close` at the end."""

    def __init__(self, settings: Settings) -> None:
        """Take the settings; nothing starts yet."""
        self.settings = settings
        self.data_dir: Path = settings.data_dir.expanduser().resolve()
        self.embedded = EmbeddedPostgres(self.data_dir) if settings.database_url is None else None

    def start(self) -> None:
        """Start the embedded server where no other database was named; safe to call again.

        Raises:
            RuntimeError: if it does not come up.
        """
        if self.embedded is not None:
            self.embedded.start()

    def close(self) -> None:
        """Leave the embedded server; its last user stops it."""
        if self.embedded is not None:
            self.embedded.release()

    @property
    def admin_url(self) -> URL:
        """The address that migrations run over."""
        return self._url(_SUPERUSER)

    def database(
        self,
        role: str,
        *,
        pool_size: int | None = None,
        statement_timeout_ms: int = 5_000,
        transaction_seconds: float | None = None,
    ) -> Database:
        """Return a pool that acts as `role`; over the embedded server it also signs in as that role."""
        return Database(
            self._url(role),
            role=role,
            pool_size=pool_size or self.settings.pool_size,
            statement_timeout_ms=statement_timeout_ms,
            transaction_seconds=transaction_seconds,
        )

    def secret(self) -> bytes:
        """Return the secret that keys' hashes and cursors depend on."""
        if self.settings.secret_key is not None:
            return self.settings.secret_key.get_secret_value().encode()
        return load_or_make_secret(self.data_dir)

    def context(self, database: Database) -> AppContext:
        """Return what the application works with."""
        secret = self.secret()
        return AppContext(database=database, signer=CursorSigner(secret), secret=secret, clock=utc_now)

    def _url(self, user: str) -> URL:
        if self.embedded is not None:
            return async_url(self.embedded.url(user))
        assert self.settings.database_url is not None  # noqa: S101  else there is an embedded one
        return async_url(self.settings.database_url.get_secret_value())
