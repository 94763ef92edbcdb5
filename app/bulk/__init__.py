"""Imports and exports of whole markets."""
