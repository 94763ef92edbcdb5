"""The typed client of the API. Imports nothing else of `app`."""
