"""Organisations, their dated facts, affiliations, partner lists, keys and roles."""
