"""Holds and their states; the database's guard refuses to oversell."""
