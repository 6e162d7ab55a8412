"""Foreign environments by id or factory, and what is found out about one before it is played."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from robo_adv.envs.foreign.scores import SCORES, Scores
from robo_adv.envs.foreign.spaces import Flat
from robo_adv.errors import DependencyError, RoboAdvError

Array = npt.NDArray[Any]
Env = gymnasium.Env[Any, Any]
Make = Callable[[], Env]
LIMIT = 10_000  # steps after which an episode is cut when the environment has no limit of its own
SUCCESS = ("is_success", "success")  # keys of `info` by which goal tasks tell that they are done
_TRIAL = 8  # steps of a trial


@dataclass(frozen=True)
class Factory:
    """Makes one environment: an id of Gymnasium's registry, or a function of the keywords.

    The keyword `scores`, of ids alone, is not the environment's: it makes discrete actions a Box.
    """

    source: str | Callable[..., Env]
    keywords: Mapping[str, Any]

    def __call__(self) -> Env:
        """A fresh environment.

        Raises:
            RoboAdvError: it cannot be made. DependencyError: a package is missing.
        """
        try:
            if not isinstance(self.source, str):
                return self.source(**self.keywords)
            keywords = dict(self.keywords)
            scores = keywords.pop(SCORES, False)
            env = gymnasium.make(self.source, disable_env_checker=True, **keywords)
            return Scores(env) if scores else env
        except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
            raise DependencyError(f"cannot make {self.name}: {error}") from error
        except RoboAdvError:
            raise
        except Exception as error:  # it runs the environment's own code
            raise RoboAdvError(
                f"cannot make the environment {self.name}: {error}; `gymnasium.pprint_registry()` "
                "lists what is registered, and the module that registers yours must be imported"
            ) from error

    @property
    def name(self) -> str:
        return (
            self.source
            if isinstance(self.source, str)
            else getattr(self.source, "__name__", type(self.source).__name__)
        )


def unpack(result: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
    """What `step` gave; Safety-Gymnasium's own environments have the cost as a sixth value."""
    if len(result) == 6:
        observation, reward, cost, terminated, truncated, info = result
        return observation, reward, terminated, truncated, {**info, "cost": cost}
    return result  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Trial:
    """What a few steps from three resets show.

    Attributes:
        first: the first observation (d,). seeded: equal seeds give equal episodes. varied: other seeds
            give other ones. info: all that `info` held, last values.
    """

    first: Array
    seeded: bool
    varied: bool
    info: dict[str, Any]


def try_out(env: Env, flat: Flat, actions: gymnasium.spaces.Box, name: str) -> Trial:
    """Play a few random steps from the seeds 1, 1 and 2.

    Raises:
        RoboAdvError: the environment itself fails.
    """
    info: dict[str, Any] = {}
    try:
        first, again, other = (_play(env, flat, actions, seed, info) for seed in (1, 1, 2))
    except RoboAdvError:
        raise
    except Exception as error:  # it runs the environment's own code
        raise RoboAdvError(
            f"{name} fails within its first {_TRIAL} steps: {type(error).__name__}: {error}"
        ) from error
    seeded = np.array_equal(first, again, equal_nan=True)
    varied = not np.array_equal(first, other, equal_nan=True)
    return Trial(first[0], seeded, varied, info)


def _play(
    env: Env, flat: Flat, actions: gymnasium.spaces.Box, seed: int, info: dict[str, Any]
) -> Array:
    """Observations (at most _TRIAL + 1, d); rows after the end repeat the last."""
    rng = np.random.default_rng(0)
    low, high = np.maximum(actions.low, -1.0), np.minimum(actions.high, 1.0)
    observation, more = env.reset(seed=seed)
    info.update(more)
    seen = [flat(observation).copy()]
    if seen[0].shape != flat.box.shape:
        raise RoboAdvError(
            f"the environment's first observation has {seen[0].size} numbers, its observation_space "
            f"{flat.box.shape}; one of the two is wrong"
        )
    for _ in range(_TRIAL):
        action = rng.uniform(low, np.maximum(low, high)).astype(actions.dtype)
        observation, _, terminated, truncated, more = unpack(env.step(action))
        info.update(more)
        seen.append(flat(observation).copy())
        if terminated or truncated:
            break
    return np.array(seen + [seen[-1]] * (_TRIAL + 1 - len(seen)))


def control_period(env: Env) -> float:
    """Time between control steps [s]: `dt`, or `tau`, or from the picture rate; else 1."""
    for name in ("dt", "tau"):
        value = getattr(env.unwrapped, name, None)
        if isinstance(value, float | np.floating) and value > 0:
            return float(value)
    rate = env.metadata.get("render_fps") or 0
    return 1.0 / rate if rate > 0 else 1.0
