"""The settings, from the environment; read only at the edge (service, worker, command line, migrations)."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.kit.db import async_url


class Settings(BaseSettings):
    """What an operator can set; everything has a default that works on one machine."""

    model_config = SettingsConfigDict(env_prefix="CARDHOUR_", env_ignore_empty=True, extra="ignore")

    database_url: SecretStr | None = Field(
        default=None,
        validation_alias="DATABASE_URL",
        description="any PostgreSQL of version 15 or later; without it, an embedded one in data_dir",
    )
    data_dir: Path = Field(
        # Not the system's own place: on macOS that has a space in its path, which the embedded server can't have.
        default_factory=lambda: Path.home() / ".local" / "share" / "cardhour",
        description="where the embedded PostgreSQL and the secret live",
    )
    secret_key: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="keys' hashes and cursors depend on it; else made in data_dir",
    )
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_json: bool | None = None
    pool_size: int = Field(default=10, ge=1, le=100)
    transaction_seconds: float = Field(
        default=30.0, gt=0, le=3600, description="after which the service gives up on a database that does not answer"
    )
    worker_transaction_seconds: float = Field(
        default=600.0, gt=0, le=86_400, description="the same for the worker, whose transactions last longer"
    )
    sweep_seconds: float = Field(default=1.0, gt=0, le=60, description="between two sweeps of the worker")
    clearing_lease_seconds: int = Field(
        default=30, ge=3, le=3600, description="a clearing whose worker gives no sign of life so long is taken again"
    )
    solver_memory_mib: int = Field(
        default=4096, ge=256, le=1_048_576, description="resident memory at which a clearing's solver is stopped"
    )

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            async_url(value.get_secret_value())
        return value
