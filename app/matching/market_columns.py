"""The columns of a market's CSV files, by file name (see `docs/market-format.md`)."""

from typing import Final

COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "chips.csv": ("chip_model", "vendor", "fp16_tflops", "memory_gb", "domestic", "class"),
    "suppliers.csv": ("supplier", "city", "partner"),
    "buyers.csv": ("buyer", "kind", "prior_year_revenue_cny", "registered_city", "integrity", "project_lead"),
    "offers.csv": (
        "offer_ref",
        "supplier",
        "region",
        "chip_model",
        "cards",
        "cards_per_node",
        "list_price_cny",
        "price_cny",
        "interconnect_gbps",
        "available_from",
        "available_to",
    ),
    "requests.csv": (
        "request_ref",
        "buyer",
        "submitted_at",
        "chips",
        "cards",
        "hours",
        "earliest_start",
        "deadline",
        "max_net_price_cny",
        "priority",
        "blocks",
        "min_blocks",
    ),
}
