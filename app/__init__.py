"""Cardhour: a matching marketplace for AI compute supply and demand."""

__version__ = "0.1.0"
