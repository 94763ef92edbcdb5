"""The commands of `cardhour` that are made of the client."""
