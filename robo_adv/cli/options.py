"""Game options on the command line: `--set arms=4 body=omni`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from robo_adv.errors import RoboAdvError


def parse_options(pairs: Sequence[str]) -> dict[str, Any]:
    """`NAME=VALUE` pairs; values are JSON if they can be read so, else text.

    Raises:
        RoboAdvError: a pair without `=`.
    """
    out: dict[str, Any] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise RoboAdvError(f"option {pair!r} is not NAME=VALUE, for example arms=4")
        try:
            out[name] = json.loads(value)
        except json.JSONDecodeError:
            out[name] = value
    return out
