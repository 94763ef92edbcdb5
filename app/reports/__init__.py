"""Pictures of what came of a clearing; they need the `plot` extra."""
