"""What developers of Cardhour run; no part of the package."""
