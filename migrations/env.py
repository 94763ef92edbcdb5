"""Alembic's environment: runs over a connection given by `app.schema`, or one opened from the settings."""

from alembic import context
from sqlalchemy import Connection

from app.tables import METADATA

# A migration may not wait long for a lock (queries queue behind it), nor run for hours unseen.
LOCK_TIMEOUT = "4s"
STATEMENT_TIMEOUT = "5min"


def run(connection: Connection) -> None:
    """Run the migrations that are due, each in a transaction of its own."""
    connection.exec_driver_sql(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
    connection.exec_driver_sql(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'")
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=METADATA,
        transaction_per_migration=True,
        compare_type=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run(context.config.attributes["connection"])
