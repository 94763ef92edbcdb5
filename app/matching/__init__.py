"""Bringing supply and demand together: search by shape, quotes, booking."""
