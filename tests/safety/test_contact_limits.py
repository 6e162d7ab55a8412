"""The shipped limits are complete and marked; a user's file replaces them or is refused clearly."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robo_adv.errors import RoboAdvError, UnknownNameError
from robo_adv.safety.contact_limits import FILE, NOTICE, load_limits


def _content() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def _written(folder: Path, content: Any) -> Path:
    path = folder / "mine.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def _refused(folder: Path, content: Any) -> str:
    with pytest.raises(RoboAdvError) as caught:
        load_limits(_written(folder, content))
    return str(caught.value)


def test_the_shipped_table_says_that_it_is_no_conformity_claim() -> None:
    limits = load_limits()
    assert limits.notice == NOTICE and NOTICE in str(limits)
    assert "not a conformity claim" in NOTICE


def test_values_from_memory_are_marked_wherever_the_table_is_printed() -> None:
    limits = load_limits()
    assert limits["thigh"].quasi_static_force.status == "memory"
    assert limits["hand"].quasi_static_force.status == "secondary"
    lines = {line.split()[0]: line for line in str(limits).splitlines()}
    assert "220*" in lines["thigh"] and "140 " in lines["hand"] and "75*" in lines["hand"]


def test_a_blow_may_be_twice_a_clamp_except_on_the_head() -> None:
    for name, region in load_limits().regions.items():
        clamp, blow = region.quasi_static_force.value, region.transient_force.value
        if name in ("skull", "face"):
            assert blow is None and region.impact_force == clamp
        else:
            assert blow == 2 * clamp == region.impact_force


def test_columns_come_in_the_order_that_was_asked_for() -> None:
    limits = load_limits()
    assert limits.column("mass", ["forearm", "hand"]).tolist() == [2.0, 0.6]
    blows = limits.column("transient_force", ["hand", "face"])
    assert blows[0] == 280.0 and np.isnan(blows[1])
    assert limits["hand"].stiffness_si == 75_000.0


def test_an_unknown_region_gets_close_matches() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'forearm'"):
        load_limits()["foream"]


def test_a_users_file_replaces_the_table(tmp_path: Path) -> None:
    content = _content()
    content["notice"] = "measured by us"
    content["regions"]["hand"]["mass"] = {"value": 0.8, "status": "own", "source": "our lab"}
    limits = load_limits(_written(tmp_path, content))
    assert limits["hand"].mass.value == 0.8
    assert load_limits()["hand"].mass.value == 0.6
    assert NOTICE in str(limits) and "measured by us" in str(limits)


HAND = ("regions", "hand")


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        ((*HAND, "mass", "value"), -1.0, "regions.hand.mass.value"),
        ((*HAND, "mass", "value"), 0.0, "greater than 0"),
        ((*HAND, "mass", "value"), float("inf"), "regions.hand.mass.value"),
        ((*HAND, "mass", "value"), "0.6", "got '0.6'"),
        ((*HAND, "mass", "value"), True, "regions.hand.mass.value"),
        ((*HAND, "mass", "value"), None, "got None"),
        ((*HAND, "mass", "status"), "sure", "regions.hand.mass.status"),
        ((*HAND, "mass", "unit"), "kg", "regions.hand.mass.unit"),
        ((*HAND, "colour"), "red", "regions.hand.colour"),
        ((*HAND, "transient_force", "value"), 100.0, "below the quasi-static 140 N"),
        ((*HAND, "pressure", "low"), 900.0, "above high 300"),
        (("regions", "tail"), {}, "tail"),
        (("units", "force"), "lbf", "units must be"),
        (("format",), "robo_adv.contact_limits/9", "format"),
        (("version",), 2, "version"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_the_place(
    place: tuple[str, ...], value: Any, says: str, tmp_path: Path
) -> None:
    content = _content()
    at = content
    for name in place[:-1]:
        at = at[name]
    at[place[-1]] = value
    error = _refused(tmp_path, content)
    assert says in error and "mine.json" in error and "\n" not in error


@pytest.mark.parametrize(
    "place", [("regions",), HAND, (*HAND, "stiffness"), (*HAND, "mass", "source")]
)
def test_a_missing_value_is_named(place: tuple[str, ...], tmp_path: Path) -> None:
    content = copy.deepcopy(_content())
    at = content
    for name in place[:-1]:
        at = at[name]
    del at[place[-1]]
    assert place[-1] in _refused(tmp_path, content)


@pytest.mark.parametrize(
    "content", ["", "[", "[]", "7", '{"format": 1, "format": 2}', "[" * 100_000]
)
def test_what_is_no_table_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(RoboAdvError, match=r"mine\.json"):
        load_limits(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RoboAdvError, match=r"cannot read contact limits .*none\.json"):
        load_limits(tmp_path / "none.json")
