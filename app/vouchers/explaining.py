"""Decisions as they are shown: each clause, met or not, and the arithmetic, in English or Chinese."""

from collections.abc import Iterable

from pydantic import Field

from app.kit.schemas import Output
from app.vouchers.findings import EN, tell_finding, tell_step
from app.vouchers.rules import Decision, TierDecision
from app.vouchers.stacking import Together


class ClauseOut(Output):
    """A clause of a programme; `found` is null where it isn't known."""

    name: str = Field(examples=["prior_year_revenue"])
    met: bool
    needed: str = Field(examples=[">= 10000000.00 CNY"])
    found: str | None
    told: str


class StepOut(Output):
    """A step of the arithmetic of an amount, in integer fen."""

    name: str = Field(examples=["rate"])
    amount_fen: int = Field(examples=[150_000_000])
    detail: str = Field(examples=["50%"])
    told: str


class TierOut(Output):
    """What one tier gives."""

    tier: str = Field(examples=["general"])
    rate_ppm: int = Field(examples=[500_000])
    amount_fen: int = Field(examples=[100_000_000])
    unmet: list[str] = Field(description="the clauses that are missed; empty where it is open")
    clauses: list[ClauseOut]
    arithmetic: list[StepOut]


class DecisionOut(Output):
    """What a programme gives for a contract: the tier chosen, and what each would give."""

    programme: str = Field(examples=["chengdu-2023"])
    version: int = Field(examples=[1])
    year: int = Field(examples=[2026])
    tier: str = Field(examples=["general"], description="the best: the largest amount, then the fewest clauses missed")
    amount_fen: int = Field(examples=[100_000_000])
    desk_checks: list[str] = Field(description="what the facts can't tell: with any, the desk decides")
    tiers: list[TierOut]


class ChoiceOut(Output):
    """Programmes taken together, or one alone."""

    programmes: list[str] = Field(examples=[["chengdu-2023"]])
    amount_fen: int = Field(examples=[100_000_000])
    decisions: list[DecisionOut]


class ExplanationOut(Output):
    """The choices of a buyer for a contract, the best first."""

    choices: list[ChoiceOut]


def explanation(choices: Iterable[Together], language: str = EN) -> ExplanationOut:
    """Return choices as shown."""
    return ExplanationOut(
        choices=[
            ChoiceOut(
                programmes=list(each.programmes),
                amount_fen=each.amount_fen,
                decisions=[_decision(decision, language) for decision in each.decisions],
            )
            for each in choices
        ]
    )


def _decision(decision: Decision, language: str) -> DecisionOut:
    return DecisionOut(
        programme=decision.programme,
        version=decision.version,
        year=decision.year,
        tier=decision.best.tier,
        amount_fen=decision.amount_fen,
        desk_checks=[check.en if language == EN else check.zh for check in decision.desk_checks],
        tiers=[tier_out(tier, language) for tier in decision.tiers],
    )


def tier_out(found: TierDecision, language: str = EN) -> TierOut:
    """Return what one tier gives as shown."""
    return TierOut(
        tier=found.tier,
        rate_ppm=found.rate_ppm,
        amount_fen=found.amount_fen,
        unmet=list(found.unmet),
        clauses=[
            ClauseOut(
                name=each.name, met=each.met, needed=each.needed, found=each.found, told=tell_finding(each, language)
            )
            for each in found.findings
        ],
        arithmetic=[
            StepOut(name=each.name, amount_fen=each.amount_fen, detail=each.detail, told=tell_step(each, language))
            for each in found.steps
        ],
    )
