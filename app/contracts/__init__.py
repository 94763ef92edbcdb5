"""Contracts of confirmed reservations, their documents, and the applications for vouchers made against them."""
