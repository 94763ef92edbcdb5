"""Small random markets as CSV folders, and how to clear them: a bit of everything that a market file can say."""

import csv
import random
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

START = datetime(2026, 12, 1, tzinfo=UTC)
ZONES = (UTC, timezone(timedelta(hours=8)), timezone(timedelta(hours=-5, minutes=-30)))
HEADERS = {
    "chips": "chip_model vendor fp16_tflops memory_gb domestic class",
    "suppliers": "supplier city partner",
    "buyers": "buyer kind prior_year_revenue_cny registered_city integrity project_lead",
    "offers": "offer_ref supplier region chip_model cards cards_per_node list_price_cny price_cny interconnect_gbps "
    "available_from available_to",
    "requests": "request_ref buyer submitted_at chips cards hours earliest_start deadline max_net_price_cny priority "
    "blocks min_blocks",
}
CHIPS = [
    ["A100", "v1", "312", "80", "false", "A-class"],
    ["H20", "v1", "", "", "false", "H-class"],
    ["910B", "v2", "280", "64", "true", "A-class"],
    ["Odd", "", "", "", "", ""],
]
SELECTORS = ["any", "any", "domestic", "A100|H20", "class:A-class", "910B", "Odd", "class:H-class|domestic"]


def write_random_market(folder: Path, seed: int, requests: int = 12) -> list[str]:
    """Write a market; return arguments of `cardhour clear` that fit it."""
    dice = random.Random(seed)
    hours = dice.randrange(12, 72)
    buyers = [_buyer(dice, number) for number in range(4)]
    suppliers = [[f"s{number}", "city", dice.choice(["yes", "yes", "no"])] for number in range(3)]
    offers = [_offer(dice, number, hours) for number in range(dice.randrange(2, 6))]
    wanted = [_request(dice, number, hours) for number in range(dice.randrange(3, requests + 1))]
    folder.mkdir(parents=True)
    tables = {"chips": CHIPS, "suppliers": suppliers, "buyers": buyers, "offers": offers, "requests": wanted}
    for name, rows in tables.items():
        bom = "utf-8-sig" if dice.random() < 0.3 else "utf-8"
        with (folder / f"{name}.csv").open("w", encoding=bom, newline="") as file:
            writer = csv.writer(file, lineterminator=dice.choice(["\n", "\r\n"]))
            writer.writerows([HEADERS[name].split(), *rows])
    return _arguments(dice, wanted, offers)


def _stamp(dice: random.Random, hours: float) -> str:
    return (START + timedelta(seconds=round(hours * 3600))).astimezone(dice.choice(ZONES)).isoformat()


def _buyer(dice: random.Random, number: int) -> list[str]:
    return [
        f"b{number}", dice.choice(["startup", "sme", "enterprise", "institute", "university"]),
        dice.choice(["", "0", "9999999.99", "10000000", "25000000"]), "city",
        dice.choice(["clean", "clean", "clean", "flagged"]), dice.choice(["none", "none", "provincial", "national"]),
    ]  # fmt: skip


def _offer(dice: random.Random, number: int, hours: int) -> list[str]:
    first = dice.randrange(0, hours // 2)
    last = dice.randrange(first + 1, hours + 1)
    price = dice.randrange(50, 1500)
    ends = dice.choice([0, 0, 0.5])
    return [
        f"o{number}", f"s{dice.randrange(3)}", "north", dice.choice(CHIPS)[0], str(dice.choice([1, 4, 8, 24])), "8",
        f"{price * 1.2 / 100:.2f}", f"{price / 100:.2f}", dice.choice(["", "100"]), _stamp(dice, first - ends),
        _stamp(dice, last + ends),
    ]  # fmt: skip


def _request(dice: random.Random, number: int, hours: int) -> list[str]:
    need = dice.choice([0.4, 1, 1.5, 2, 5, 8.25, 13])
    begin = dice.uniform(0, hours * 0.7) if dice.random() < 0.5 else dice.randrange(0, hours - 4)
    blocks = dice.choice([1, 1, 1, 2, 3, 5])
    chips = dice.choice(SELECTORS)
    # A few rows that can't be read, to be told and left out.
    cards = "0" if dice.random() < 0.03 else str(dice.choice([1, 1, 2, 4, 8, 16]))
    return [
        f"r{number:02d}", f"b{dice.randrange(4)}", _stamp(dice, -dice.randrange(1, 40)), chips, cards, str(need),
        _stamp(dice, begin), _stamp(dice, begin + need * dice.uniform(1.0, 4.0) + dice.randrange(0, 8)),
        f"{dice.randrange(20, 1600) / 100:.2f}", str(dice.choice([1, 1, 2, 7])), str(blocks),
        str(dice.randrange(1, blocks + 1)),
    ]  # fmt: skip


def _arguments(dice: random.Random, requests: list[list[str]], offers: list[list[str]]) -> list[str]:
    found = ["--objective", dice.choice(["surplus", "surplus", "coverage", "thrift"])]
    if dice.random() < 0.7:
        found += [
            *("--programme", "open-example", "--set", f"open-example.pool_year_cny={dice.randrange(0, 900)}"),
            *("--set", f"open-example.buyer_year_cny={dice.randrange(0, 500)}.5"),
        ]
        if dice.random() < 0.3:
            found += ["--set", f"open-example.general.contract_cap_cny={dice.randrange(5, 200)}"]
    if dice.random() < 0.5:
        found += [
            *("--programme", "chengdu-2023", "--set", f"chengdu-2023.pool_year_cny={dice.randrange(20, 900)}"),
            *("--set", f"chengdu-2023.general.minimum_voucher_cny={dice.randrange(0, 40)}"),
            *("--set", "chengdu-2023.project-lead-national.minimum_voucher_cny=5"),
            *("--set", "chengdu-2023.project-lead-provincial.minimum_voucher_cny=0"),
            *("--set", f"chengdu-2023.project-lead-national.buyer_total_cny={dice.randrange(10, 300)}"),
        ]
    # Only what is there can be named: rows that are refused are not.
    read = [request for request in requests if request[4] != "0"]
    if not read:
        return found
    request, offer = dice.choice(read)[0], dice.choice(offers)[0]
    rare = (
        (0.2, ["--kappa", dice.choice(["0.3", "1", "1.25"])]),
        (0.15, ["--pin", f"{request}={offer}"]),
        (0.3, ["--forbid", f"{dice.choice(read)[0]}={dice.choice(offers)[0]}"]),
        (0.2, ["--share", f"supplier/{dice.choice(offers)[1]}=0.{dice.randrange(10, 60)}"]),
        (0.2, ["--share", f"buyer/{dice.choice(read)[1]}=0.{dice.randrange(10, 60)}"]),
        (0.1, ["--as-of", "2026-12-31T16:00:00Z"]),
        (0.2, ["--offer-set", f"offer/{offer}.price={dice.choice(['3.21', '+12.5%', '-7%'])}"]),
        (0.2, ["--offer-set", f"offer/{offer}.cards={dice.choice(['+3', '-2', '-100', '+50%', '-33%'])}"]),
        (0.2, ["--offer-set", f"supplier/{dice.choice(offers)[1]}.{dice.choice(['price=+5.5%', 'cards=-50%'])}"]),
    )
    for chance, arguments in rare:
        if dice.random() < chance:
            found += arguments
    if not {"--pin", "--forbid", "--share"} & set(found) and dice.random() < 0.3:
        found += ["--limit-requests", str(dice.randrange(1, len(requests) + 1))]
    if "--pin" in found and "--forbid" in found:
        del found[found.index("--forbid") : found.index("--forbid") + 2]
    return found
