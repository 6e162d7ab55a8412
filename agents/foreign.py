"""Controllers that are the user's own Python: functions, torch modules, objects with `predict`."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from robo_adv.agents.white_box import is_white, white_policy
from robo_adv.envs.episode import World
from robo_adv.errors import RoboAdvError
from robo_adv.policy import DictPolicy, Policy, State

Array = npt.NDArray[Any]


class Function:
    """A function of observations as a policy; `rows` calls it with one observation (d,) at a time."""

    def __init__(self, function: Callable[[Array], Any], rows: bool) -> None:
        self.function, self.rows = function, rows

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        if not self.rows:
            return np.asarray(self.function(observation.copy())), state
        return np.array([np.asarray(self.function(row.copy())) for row in observation]), state


def made(found: Any, name: str, world: World, player: str) -> Any:
    """What the user's module gave, made where it is a class, or a function of (world, player) or of
    nothing that makes a controller.

    Raises:
        RoboAdvError: making it fails.
    """
    if not inspect.isclass(found) and (hasattr(found, "predict") or is_white(found)):
        return found
    needed = _needed(found) if callable(found) else 1
    try:
        if needed == 2:
            return found(world, player)
        return found() if inspect.isclass(found) or needed == 0 else found
    except RoboAdvError:
        raise
    except Exception as error:  # the user's own code
        raise RoboAdvError(f"{name} cannot be made: {type(error).__name__}: {error}") from error


def as_policy(found: Any, name: str, world: World, player: str) -> Policy:
    """A controller as a policy: it may have `predict`, be a torch module or have a differentiable
    `mean` (see `robo_adv.agents.white_box`), or be a function of observations (n, d) or (d,).

    Raises:
        RoboAdvError: it is none of these, or its actions have another shape.
    """
    if hasattr(found, "predict"):
        if isinstance(getattr(found, "observation_space", None), gymnasium.spaces.Dict):
            return DictPolicy(found, world.layouts[player])
        return found  # type: ignore[no-any-return]
    if is_white(found):
        return white_policy(found, name)
    if not callable(found):
        raise RoboAdvError(
            f"{name} gave {type(found).__name__}, expected a function of observations, a torch module, "
            "or something with predict(observation, state, episode_start, deterministic)"
        )
    return _function(found, name, world, player)


def _needed(found: Any) -> int:
    """How many arguments a callable must be given."""
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        return 1
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in kinds and p.default is p.empty for p in parameters)


def _function(function: Callable[[Array], Any], name: str, world: World, player: str) -> Function:
    seen, wanted = samples(world, player), world.action_size(player)
    results: dict[bool, Array] = {}
    problems: dict[bool, str] = {}
    for rows in (False, True):
        try:
            action = Function(function, rows).predict(seen)[0]
        except Exception as error:  # the user's own code
            problems[rows] = f"{type(error).__name__}: {error}"
            continue
        if action.shape == (len(seen), wanted):
            results[rows] = action
        else:
            problems[rows] = f"shape {action.shape if not rows else action.shape[1:]}"
    if not results:
        raise RoboAdvError(
            f"{name} must map observations (n, {seen.shape[1]}) to actions (n, {wanted}), or one "
            f"observation ({seen.shape[1]},) to ({wanted},); a batch gave {problems[False]}, one "
            f"observation gave {problems[True]}"
        )
    same = len(results) == 2 and np.allclose(results[False], results[True], equal_nan=True)
    again = Function(function, True).predict(seen)[0] if len(results) == 2 and not same else None
    exact = again is not None and np.array_equal(again, results[True], equal_nan=True)
    return Function(function, rows=False not in results or exact)


def samples(world: World, player: str, count: int = 3) -> Array:
    """Made-up observations (count, d) in the world's dtype, to try a controller on."""
    space = world.observation_space(player)
    noise = np.random.default_rng(0).normal(0.0, 0.3, (count, *space.shape))
    return np.clip(noise, space.low, space.high).astype(space.dtype)


def user_module(name: str) -> Any:
    """A module of the user's; the current folder is looked into last, as it is not on the path of
    installed commands."""
    if (here := os.getcwd()) not in sys.path:
        sys.path.append(here)
    return importlib.import_module(name)


def import_object(name: str) -> Any:
    """What `module:attribute` means.

    Raises:
        RoboAdvError: it cannot be imported.
    """
    module, _, attribute = name.partition(":")
    try:
        return getattr(user_module(module), attribute)
    except Exception as error:  # the module is the user's own code
        raise RoboAdvError(
            f"cannot import controller {name!r}: {type(error).__name__}: {error}"
        ) from error
