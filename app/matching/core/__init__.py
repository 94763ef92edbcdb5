"""The matching engine: pure functions of what they are given; no database, no clock, no settings."""
