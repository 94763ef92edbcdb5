"""The demo: a made-up sample market, booked through the API, and a report on it."""
