"""The engine: pure functions over frozen values. No database, no web, no clock, no environment."""
