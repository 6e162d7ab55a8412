"""Bugs that tests have found and that are not fixed yet: each mark goes when its bug does."""

from __future__ import annotations

import pytest


def _fixed(reason: str) -> pytest.MarkDecorator:
    return pytest.mark.filterwarnings("default")


def _bug(reason: str) -> pytest.MarkDecorator:
    return pytest.mark.xfail(strict=True, reason=reason)


BAD_STATE = _bug(
    "a state that is bad before the step gives NaN rewards (0 * NaN) and a final observation that is "
    "not the last one the players saw"
)
