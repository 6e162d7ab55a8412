"""Checks that the learners' hyper-parameters share; each names what was got."""

from __future__ import annotations

from typing import Any

from robo_adv.errors import RoboAdvError
from robo_adv.training.network import ACTIVATIONS


def check_learner(config: Any, *, counts: tuple[str, ...], shares: tuple[str, ...]) -> None:
    """Check a learner's configuration, which has `net_arch` and `activation`.

    Args:
        counts: names of fields that are at least 1. shares: of fields in 0..1.

    Raises:
        RoboAdvError: a value is out of its range.
    """
    for name in counts:
        if getattr(config, name) < 1:
            raise RoboAdvError(f"{name} must be at least 1, got {getattr(config, name)}")
    for name in shares:
        if not 0.0 <= getattr(config, name) <= 1.0:
            raise RoboAdvError(f"{name} must lie in 0..1, got {getattr(config, name)}")
    if not config.net_arch or any(width < 12 or width % 4 for width in config.net_arch):
        raise RoboAdvError(
            f"net_arch {config.net_arch}: widths must be multiples of 4 and at least 12 (in "
            "narrower layers the last bits of an action depend on the row it is computed in)"
        )
    if config.activation not in ACTIVATIONS:
        raise RoboAdvError(f"activation {config.activation!r} is not one of {[*ACTIVATIONS]}")
