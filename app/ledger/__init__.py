"""Accounts and transfers: double entry, append-only, two-phase; the database is the only writer of balances."""
