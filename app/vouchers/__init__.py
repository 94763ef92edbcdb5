"""Voucher programmes as data, and the rules that read them."""
