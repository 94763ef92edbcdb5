"""Delivery reports, settlement lines, redemptions and invoices."""
