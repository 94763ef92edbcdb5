"""How an offer's price is given: per card-hour, or per instance-month of a node and converted visibly."""

from dataclasses import dataclass
from typing import Final

from app.catalog.errors import PRICE_ABOVE_LIST, PRICE_ONE_WAY, PRICE_TOO_HIGH
from app.catalog.models import Offer, PriceUnit
from app.catalog.schemas import OfferIn, OfferPatch
from app.kit.errors import FieldError
from app.kit.money import card_hour_fen_from_instance_month

MAX_PRICE_FEN: Final = 100_000_000
_PER_CARD_HOUR: Final = ("price_fen", "list_price_fen")
_PER_INSTANCE_MONTH: Final = ("posted_fen_per_instance_month", "listed_fen_per_instance_month")


@dataclass(frozen=True, slots=True)
class Prices:
    """An offer's prices: per card-hour in fen, and what was posted per instance-month, if it was."""

    price_fen: int
    list_price_fen: int
    unit: PriceUnit
    posted_month_fen: int | None
    listed_month_fen: int | None


def new_prices(body: OfferIn) -> Prices:
    """Return the prices of a new offer; the list price is the price unless given.

    Raises:
        Problem: `price_one_way`, `price_above_list`, `price_too_high`.
    """
    _one_way(body)
    if body.price_fen is not None:
        listed = body.price_fen if body.list_price_fen is None else body.list_price_fen
        return _checked(Prices(body.price_fen, listed, PriceUnit.CARD_HOUR, None, None))
    posted = body.posted_fen_per_instance_month
    if posted is None:
        raise _refusal((_PER_CARD_HOUR[0], _PER_INSTANCE_MONTH[0]))
    listed = posted if body.listed_fen_per_instance_month is None else body.listed_fen_per_instance_month
    return _checked(_from_months(posted, listed, body.cards_per_node))


def patched_prices(offer: Offer, body: OfferPatch) -> Prices:
    """Return an offer's prices after an edit; a price in the other unit changes the unit.

    Raises:
        Problem: `price_one_way`, `price_above_list`, `price_too_high`.
    """
    _one_way(body)
    before = Prices(
        offer.price_fen,
        offer.list_price_fen,
        PriceUnit(offer.price_unit),
        offer.posted_fen_per_instance_month,
        offer.listed_fen_per_instance_month,
    )
    if body.price_fen is not None or (body.list_price_fen is not None and before.unit is PriceUnit.CARD_HOUR):
        price = before.price_fen if body.price_fen is None else body.price_fen
        listed = before.list_price_fen if body.list_price_fen is None else body.list_price_fen
        return _checked(Prices(price, listed, PriceUnit.CARD_HOUR, None, None))
    posted, listed_month = body.posted_fen_per_instance_month, body.listed_fen_per_instance_month
    if posted is None and listed_month is not None:
        posted = before.posted_month_fen
    if posted is not None:
        if listed_month is None:
            listed_month = before.listed_month_fen
        return _checked(_from_months(posted, listed_month, offer.cards_per_node, before.list_price_fen))
    if body.list_price_fen is not None or listed_month is not None:
        raise _refusal(tuple(name for name in (*_PER_CARD_HOUR, *_PER_INSTANCE_MONTH) if name in body.model_fields_set))
    return before


def _from_months(posted: int, listed: int | None, cards_per_node: int, list_price_fen: int = 0) -> Prices:
    if listed is not None:
        list_price_fen = card_hour_fen_from_instance_month(listed, cards_per_node)
    return Prices(
        price_fen=card_hour_fen_from_instance_month(posted, cards_per_node),
        list_price_fen=list_price_fen,
        unit=PriceUnit.INSTANCE_MONTH,
        posted_month_fen=posted,
        listed_month_fen=listed,
    )


def _one_way(body: OfferIn | OfferPatch) -> None:
    given = [
        tuple(name for name in names if getattr(body, name) is not None)
        for names in (_PER_CARD_HOUR, _PER_INSTANCE_MONTH)
    ]
    if all(given):
        raise _refusal((*given[0], *given[1]))


def _checked(prices: Prices) -> Prices:
    month = prices.unit is PriceUnit.INSTANCE_MONTH
    price_name, list_name = _PER_INSTANCE_MONTH if month else _PER_CARD_HOUR
    posted_above = (
        prices.posted_month_fen is not None
        and prices.listed_month_fen is not None
        and prices.posted_month_fen > prices.listed_month_fen
    )
    if posted_above or prices.price_fen > prices.list_price_fen:
        raise PRICE_ABOVE_LIST.field(f"/{price_name}")
    if prices.list_price_fen > MAX_PRICE_FEN:
        raise PRICE_TOO_HIGH.field(
            f"/{list_name}" if prices.price_fen <= MAX_PRICE_FEN else f"/{price_name}",
            price_fen=prices.list_price_fen,
            most=MAX_PRICE_FEN,
        )
    return prices


def _refusal(names: tuple[str, ...]) -> Exception:
    return PRICE_ONE_WAY.problem(
        errors=[FieldError(f"/{name}", PRICE_ONE_WAY.code, PRICE_ONE_WAY.en) for name in names]
    )
