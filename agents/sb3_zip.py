"""Controllers in stable-baselines3 zips, opened by its own loader, which runs what is in them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from robo_adv.agents.access import Normaliser, sb3_access
from robo_adv.errors import BundleError
from robo_adv.policy import State
from robo_adv.threats.access import Access

Array = npt.NDArray[Any]
TRUST = (
    "a stable-baselines3 zip holds pickled Python objects, and opening it runs whatever is in them: "
    "say --trust only if you know who made it, or export the policy to ONNX"
)
LACKS_STATISTICS = (
    "It learned behind VecNormalize, whose statistics were not given (--statistics): unless only "
    "rewards were normalised, it sees other observations here than it learned from."
)


class Sb3Policy:
    """A stable-baselines3 model behind the statistics it was trained with (VecNormalize)."""

    def __init__(self, model: Any, statistics: Any) -> None:
        self.model, self.statistics = model, statistics
        self.observation_space = model.observation_space

    def predict(
        self,
        observation: Any,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        if self.statistics is not None:
            observation = self.statistics.normalize_obs(observation)
        action, _ = self.model.predict(observation, deterministic=deterministic)
        return action, state

    @property
    def normaliser(self) -> Normaliser | None:
        """The same, differentiable; None when observations are not normalised."""
        if self.statistics is None or not self.statistics.norm_obs:
            return None
        rms, eps = self.statistics.obs_rms, self.statistics.epsilon
        return Normaliser(
            np.array(rms.mean), np.sqrt(np.array(rms.var) + eps), self.statistics.clip_obs
        )

    @property
    def lacks_statistics(self) -> bool:
        """Whether it learned behind VecNormalize, whose statistics were not given. Off-policy models
        keep the same record with and without VecNormalize, so nothing is known of them."""
        seen = getattr(self.model, "_last_original_obs", None)
        return self.statistics is None and seen is not None and not hasattr(self.model, "actor")


class _Blank(gymnasium.Env[Any, Any]):
    """Spaces without an environment, which VecNormalize's loader asks for."""

    def __init__(self, model: Any) -> None:
        self.observation_space, self.action_space = model.observation_space, model.action_space


def open_sb3(path: Path, statistics: Path | None = None) -> tuple[Sb3Policy, Access]:
    """A PPO, A2C, SAC, TD3 or DDPG zip, opened by the library's own loader, which runs what is in it.

    Raises:
        BundleError: not such a zip.
    """
    algorithm = _algorithm(path)
    unused = {"learning_rate": 0.0, "lr_schedule": lambda _: 0.0, "clip_range": lambda _: 0.2,
              "buffer_size": 1}  # fmt: skip
    try:
        model = algorithm.load(path, device="cpu", custom_objects=unused)
    except Exception as error:  # it unpickles; anything can go wrong
        raise BundleError(
            f"{path} cannot be opened by stable-baselines3: {type(error).__name__}: {error}"
        ) from error
    policy = Sb3Policy(model, _statistics(statistics, model))
    if not isinstance(model.observation_space, gymnasium.spaces.Box):
        return policy, Access()
    return policy, sb3_access(model, policy.normaliser)


def _statistics(path: Path | None, model: Any) -> Any:
    if path is None:
        return None
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    try:
        found = VecNormalize.load(str(path), DummyVecEnv([lambda: _Blank(model)]))
    except Exception as error:
        raise BundleError(
            f"{path} holds no VecNormalize statistics of this model: {error}"
        ) from error
    found.training = False
    return found


def _algorithm(path: Path) -> Any:
    """Which class made a zip, told by the names in its JSON; nothing is unpickled."""
    import stable_baselines3 as sb3

    try:
        with zipfile.ZipFile(path) as archive:
            names = set(json.loads(archive.read("data")))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise BundleError(f"{path} is not a stable-baselines3 zip: {error}") from error
    if "target_entropy" in names:
        return sb3.SAC
    if "policy_delay" in names:
        return sb3.TD3
    if "n_epochs" in names:
        return sb3.PPO
    if "gae_lambda" in names:
        return sb3.A2C
    raise BundleError(
        f"{path} was made by none of PPO, A2C, SAC and TD3; export its policy to ONNX instead"
    )
