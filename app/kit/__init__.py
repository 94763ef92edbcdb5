"""Tools without domain words: database, errors, identifiers, money, time, pages, idempotency, logs."""
