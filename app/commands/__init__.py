"""The commands of `cardhour`, by subject."""
