"""What a model took as help, in words."""

from __future__ import annotations

from sdl.report.hints import hint_lines

ARRHENIUS = {
    "kind": "physics",
    "role": "mean",
    "sha256": "0" * 64,
    "used": True,
    "evidence": 5.21,
    "weight": 0.8,
    "weight_sd": 0.1,
    "why": "what is left out is predicted better with it",
    "compared_at": 9,
}


def test_what_is_used_is_told_with_weight_and_evidence():
    assert hint_lines({"hints": {"arrhenius": ARRHENIUS}}) == [
        "physics 'arrhenius' is used with weight 0.80 ± 0.10: evidence +5.2 (what is left out is predicted better with it)"
    ]
    feature = {**ARRHENIUS, "role": "feature"}
    assert hint_lines({"hints": {"dose": feature}})[0].startswith(
        "physics 'dose' is used as a further input: evidence +5.2"
    )


def test_what_is_not_used_is_told_with_the_reason():
    told = {
        **ARRHENIUS,
        "kind": "transfer",
        "used": False,
        "evidence": -8.04,
        "why": "it misleads",
        "notes": ["200 of 900"],
    }
    assert hint_lines({"hints": {"old": told}}) == [
        "earlier campaign 'old' is not used: evidence -8.0 (it misleads)",
        "  200 of 900",
    ]
    early = {k: v for k, v in told.items() if k not in {"evidence", "notes"}} | {"why": "fewer than 3 results"}
    assert hint_lines({"hints": {"old": early}}) == ["earlier campaign 'old' is not used (fewer than 3 results)"]


def test_models_without_help_have_no_lines():
    assert hint_lines({"kind": "matern52, plain"}) == []
