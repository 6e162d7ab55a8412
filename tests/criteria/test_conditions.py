"""Conditions that users write: what they say, when they began to hold, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robo_adv.errors import RoboAdvError, UnknownNameError
from robo_adv.safety.conditions import Comparison, Facts, join, parse

UNITS = {"speed": "m/s", "force": "N", "fall": "1", "return": "reward", "x": "odd"}


def facts(steps: dict[tuple[str, float], list[int]] | None = None, **values: Any) -> Facts:
    n = len(next(iter(values.values())))
    above = {limit: np.array(at) for limit, at in (steps or {}).items()}
    arrays = {name: np.array(value, dtype=float) for name, value in values.items()}
    return Facts(arrays, UNITS, tuple(values), above, np.full(n, 9.0), 0.5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fall", [False, True, False, True]),
        ("speed>2", [False, False, True, True]),
        ("speed >= 2.0", [False, True, True, True]),
        ("speed<2", [True, False, False, False]),
        ("speed<=2 and fall", [False, True, False, False]),
        ("fall or speed>2", [False, True, True, True]),
        ("fall and speed<=2 or speed>3", [False, True, False, True]),
        ("fall and (speed<=2 or speed>3)", [False, True, False, True]),
        ("(fall or speed>2) and speed<4", [False, True, True, False]),
        ("speed==2", [False, True, False, False]),
        ("speed!=2", [True, False, True, True]),
        ("speed>-1e0", [True, True, True, True]),
    ],
)
def test_a_condition_means_what_it_says(text: str, expected: list[bool]) -> None:
    known = facts(speed=[1, 2, 3, 4], fall=[0, 1, 0, 1])
    found = parse(text, UNITS)
    assert found.holds(known).tolist() == expected
    assert ((found.severity(known) > 1) == found.holds(known)).all()
    again = parse(str(found), UNITS)
    assert again == found, "its own words are read differently"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a name is missing"),
        ("speed>", "a number is missing"),
        ("speed>fast", "a number is missing"),
        (">2", "a name is missing"),
        ("speed>2 fall", "one too many"),
        ("(speed>2", "not closed"),
        ("speed>2 and", "a name is missing"),
        ("speed>2 && fall", "not understood"),
        ("__import__('os').mkdir('x')", "not understood"),
        ("speed>2)", "one too many"),
    ],
)
def test_what_is_no_condition_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(RoboAdvError, match=words):
        parse(text, UNITS)


def test_an_unknown_name_lists_what_exists() -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean 'speed'.*fall, force"):
        parse("sped>2", UNITS)
    alias = {"velocity": Comparison("speed", ">", 3.2)}
    assert parse("velocity or fall", UNITS, alias) == parse("speed>3.2 or fall", UNITS)
    with pytest.raises(UnknownNameError, match="velocity"):
        parse("velocit", UNITS, alias)


def test_severity_is_the_ratio_to_the_limit() -> None:
    known = facts(force=[0, 75, 150, 300], speed=[0, 0.25, 0.5, 1], x=[-2, -1, 0, 1])
    assert parse("force>150", UNITS).severity(known).tolist() == [0, 0.5, 1, 2]
    # Above a limit of 0, one scale of the unit counts as one limit.
    assert parse("speed>0", UNITS).severity(known).tolist() == [0, 2, 3, 5]
    assert parse("force>0", UNITS).severity(known)[1] == pytest.approx(1 + 75 / 65)
    below = parse("x<-1", UNITS)
    assert below.severity(known)[0] == 2.0 and (below.severity(known)[1:] <= 1).all()
    both = parse("force>150 and speed>2", UNITS), parse("force>150 or speed>2", UNITS)
    assert [c.severity(known)[3] for c in both] == [0.5, 2.0]


@given(
    st.sampled_from([">", ">=", "<", "<=", "==", "!="]),
    st.floats(-1e6, 1e6),
    st.floats(allow_nan=True, allow_infinity=True),
)
def test_severity_exceeds_one_exactly_where_the_condition_holds(
    sign: str, number: float, value: float
) -> None:
    known = facts(x=[value])
    found = Comparison("x", sign, number)
    severity = found.severity(known)[0]
    assert (severity > 1) == bool(found.holds(known)[0])
    assert severity >= 0 and math.isfinite(severity)


def test_a_violation_begins_when_the_cost_first_was_above_its_limit() -> None:
    known = facts(
        {("speed", 2.0): [0, 4, 2], ("fall", 0.0): [6, 0, 8]}, speed=[1, 3, 3], fall=[1, 0, 1]
    )
    inf = math.inf
    assert parse("speed>2", UNITS).since(known).tolist() == [inf, 2.0, 1.0]
    assert parse("speed>2 or fall", UNITS).since(known).tolist() == [3.0, 2.0, 1.0]
    assert parse("speed>2 and fall", UNITS).since(known).tolist() == [inf, inf, 4.0]
    # What was not watched is known at the end of the episode only.
    assert parse("speed>2.5", UNITS).since(known).tolist() == [inf, 9.0, 9.0]
    assert parse("speed<2", UNITS).since(known).tolist() == [9.0, inf, inf]


def test_one_part_is_joined_to_itself() -> None:
    part = Comparison("x", ">", 1.0)
    assert join("or", [part]) is part
