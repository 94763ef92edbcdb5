"""Reports on voucher money, and pictures of them and of clearings; pictures need the `plot` extra."""
