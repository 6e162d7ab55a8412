"""Published victims: checkpoints of SA-PPO's code and of what was built on it (`FILE.model`).

SA-PPO (Zhang et al. 2020), ATLA (Zhang et al. 2021), PA-AD (Sun et al. 2022) and WocaR (Liang et al.
2022) publish their MuJoCo policies as files of `torch.save`: a dictionary with the weights of the
policy (`policy_model`) and of the value function (`val_model`), and the pickled environments
(`envs`), whose `state_filter` holds the running statistics of the observations. Here the numbers are
read and nothing in the file is run, so that neither the old code nor trust in the file is needed.

The policy sees clip((x - mean) / (std + 1e-8), -c, c), has 64 x 64 tanh units or an LSTM of 64, and
gives its mean action to the environment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from robo_adv import seeding
from robo_adv.agents import inert_pickle
from robo_adv.agents.access import Normaliser
from robo_adv.agents.statistics_file import MAX_FILE
from robo_adv.agents.white_box import TorchPolicy
from robo_adv.envs.episode import World
from robo_adv.errors import BundleError
from robo_adv.policy import Policy, State
from robo_adv.threats.access import Access, Tensor

Array = npt.NDArray[Any]
Weights = dict[str, Tensor]
SUFFIX = ".model"
# Hidden layers of the same code's ReLU policies (CtsPolicyLarger, CtsPolicySAC), which end in a tanh;
# the file does not tell the activation.
RELU = ((400, 300), (256, 256))
STD = 1e-8  # added to the standard deviation by the published code
READ = "Its weights and statistics were read from its file; nothing in the file was run."
REMEMBERS = READ + " Gradients go through its present step alone: what it remembers is held fixed."
WHAT = "a published checkpoint of SA-PPO's code (policy_model, val_model, envs)"


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Attributes:
        actor: observations as the policy sees them (n, d) -> mean actions (n, a); None with a memory.
        memory: the policy with a memory, or None. critic: -> values (n, 1), or None.
        log_std: (a,). normaliser: of raw observations.
    """

    actor: nn.Sequential | None
    memory: Memory | None
    critic: nn.Sequential | None
    log_std: Tensor
    normaliser: Normaliser


class Memory(nn.Module):
    """ATLA's recurrent policy: Linear, LSTM, Linear."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.embedding = _linear(weights, "embedding_layer")
        self.output = _linear(weights, "output_layer")
        size = self.embedding.out_features
        self.lstm = nn.LSTM(size, self.output.in_features, batch_first=True)
        own = {k.removeprefix("lstm."): v for k, v in weights.items() if k.startswith("lstm.")}
        self.lstm.load_state_dict(own)

    @property
    def size(self) -> int:
        """Of the hidden and of the cell state."""
        return int(self.lstm.hidden_size)

    def forward(self, seen: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised observations (n, d) and state (n, h), (n, h) -> actions and the next state."""
        embedded = self.embedding(seen)[:, None]
        _, (hidden, cell) = self.lstm(embedded, (hidden[None], cell[None]))
        return self.output(hidden[0]), hidden[0], cell[0]


class RecurrentPolicy:
    """A policy with a memory, which starts empty in every episode; its state is (n, h), (n, h)."""

    def __init__(self, memory: Memory, normaliser: Normaliser) -> None:
        self.memory, self.normaliser = memory, normaliser

    def start(self, seeds: seeding.Seeds, observation: Array) -> tuple[Array, ...]:
        empty = np.zeros((len(seeds), self.memory.size), dtype=np.float32)
        return empty, empty.copy()

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        if state is None:
            state = self.start(np.arange(len(observation), dtype=np.uint64), observation)
        with torch.no_grad():
            seen = self.normaliser(torch.as_tensor(observation))
            action, *after = self.memory(seen, *(torch.as_tensor(part) for part in state))
        return action.numpy(), tuple(part.numpy() for part in after)

    def mean(self, observation: Tensor, state: tuple[Array, ...]) -> Tensor:
        """Actions (n, a) at raw observations (n, d) in given states, differentiable."""
        parts = (torch.as_tensor(part) for part in state)
        action: Tensor = self.memory(self.normaliser(observation), *parts)[0]
        return action


def published_access(found: Checkpoint) -> Access:
    """Access to a checkpoint's policy on the environment's scale; with a memory, `recall` gives it in
    given states, and the access itself is that of an empty memory."""
    normaliser, std = found.normaliser, torch.exp(found.log_std)[None]
    pair = normaliser.mean, normaliser.std
    value = None if found.critic is None else normaliser.mlp(found.critic)
    access = Access(
        std=lambda observation: std.expand(len(observation), -1), value=value, normaliser=pair
    )
    if found.actor is not None:
        return replace(access, mean=normaliser.mlp(found.actor))
    assert found.memory is not None
    policy = RecurrentPolicy(found.memory, normaliser)

    def in_state(state: tuple[Array, ...]) -> Access:
        return replace(access, mean=lambda x: policy.mean(x, state))

    def empty(observation: Tensor) -> Tensor:
        none = np.zeros((len(observation), policy.memory.size), dtype=np.float32)
        return policy.mean(observation, (none, none))

    return replace(access, mean=empty, recall=in_state)


def read_published(path: Path, size: int, actions: int) -> Checkpoint:
    """The policy in a published file, for observations of `size` numbers.

    Raises:
        BundleError: the file holds nothing of the kind, or a policy of other sizes.
    """
    if not path.is_file():
        raise BundleError(f"there is no file {path}")
    if path.stat().st_size > MAX_FILE:
        raise BundleError(f"{path} has more than {MAX_FILE} bytes")
    try:
        found = torch.load(path, "cpu", pickle_module=inert_pickle, weights_only=False)
    except Exception as error:  # any file may be given
        raise BundleError(f"{path} is not {WHAT}, or damaged ({type(error).__name__})") from error
    weights = found.get("policy_model") if isinstance(found, dict) else None
    if not isinstance(weights, dict) or not weights:
        has = f"keys {sorted(map(str, found))[:6]}" if isinstance(found, dict) else type(found)
        raise BundleError(f"{path} is not {WHAT}: it holds {has}")
    try:
        policy = _numbers(weights)
        recurrent = "lstm.weight_ih_l0" in policy
        memory = Memory(policy) if recurrent else None
        actor = None if recurrent else _stack(policy, "final_mean")
        values = _numbers(found.get("val_model") or {})
        plain = "affine_layers.0.weight" in values and "lstm.weight_ih_l0" not in values
        critic = _stack(values, "final") if plain else None
        made = Checkpoint(actor, memory, critic, policy["log_stdev"], _normaliser(found, size))
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from error
    except Exception as error:  # any file may be given
        raise BundleError(
            f"{path} is not {WHAT} with a Gaussian policy: {type(error).__name__}: "
            f"{str(error).splitlines()[0]}"
        ) from error
    hidden = tuple(x.out_features for x in made.actor or () if isinstance(x, nn.Linear))[:-1]
    if hidden in RELU:
        raise BundleError(
            f"{path} holds hidden layers of {hidden}, which that code uses with ReLU; only its tanh "
            "policies are read: bring it as module:callable, or as ONNX"
        )
    first = made.memory.embedding if made.memory is not None else (made.actor or [])[0]
    assert isinstance(first, nn.Linear)
    if (first.in_features, len(made.log_std)) != (size, actions):
        raise BundleError(
            f"{path} holds a policy of {first.in_features} observations and {len(made.log_std)} "
            f"actions, this environment has {size} and {actions}"
        )
    return made


def _numbers(weights: dict[str, Any]) -> Weights:
    out = {str(name): torch.as_tensor(value).detach().float() for name, value in weights.items()}
    if not all(torch.isfinite(value).all() for value in out.values()):
        raise BundleError("it holds weights that are NaN or infinite")
    return out


def _linear(weights: Weights, name: str) -> nn.Linear:
    weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    out = nn.Linear(weight.shape[1], weight.shape[0])
    out.load_state_dict({"weight": weight, "bias": bias})
    return out


def _stack(weights: Weights, last: str) -> nn.Sequential:
    """Hidden layers with tanh, and a last layer."""
    names = [m[1] for key in weights if (m := re.fullmatch(r"(affine_layers\.\d+)\.weight", key))]
    layers: list[nn.Module] = []
    for name in sorted(names, key=lambda name: int(name.rpartition(".")[2])):
        layers += [_linear(weights, name), nn.Tanh()]
    return nn.Sequential(*layers, _linear(weights, last))


def _normaliser(found: dict[str, Any], size: int) -> Normaliser:
    """The state filter of the first environment."""
    envs = found.get("envs")
    if not envs:
        raise BundleError(
            "it holds no `envs`, whose state filter tells how observations are scaled"
        )
    state = envs[0].get("state_filter") if isinstance(envs[0], dict) else None
    if not isinstance(state, dict):
        raise BundleError("its environment has no `state_filter`")
    if "horizon" in state:
        raise BundleError("its policy also sees the time of the episode, which is not supported")
    if "rs" not in state:  # their identity: observations as they are
        return Normaliser(np.zeros(size), np.ones(size))
    mean, total = (np.array(state["rs"][key], dtype=np.float64) for key in ("_M", "_S"))
    count = int(state["rs"]["_n"])
    if mean.shape != (size,) or total.shape != (size,):
        raise BundleError(f"it was made for {mean.size} observations, this environment has {size}")
    std = np.sqrt(total / (count - 1)) if count > 1 else np.abs(mean)
    if not (np.isfinite(mean).all() and np.isfinite(std).all()):
        raise BundleError("its statistics are not finite")
    if not (state.get("center", True) and state.get("scale", True)):
        raise BundleError(
            "its state filter does not both centre and scale, as the published ones do"
        )
    clip = state.get("clip")
    return Normaliser(mean, std + STD, float(clip) if clip else float("inf"))


def published(path: Path, world: World, player: str) -> tuple[Policy, Access, str]:
    """A published checkpoint as it plays in a world, access to it, and a sentence about it.

    Raises:
        BundleError: no such checkpoint, or one that does not fit.
    """
    found = read_published(path, world.layouts[player].size, world.action_size(player))
    access = published_access(found)
    if found.memory is not None:
        return RecurrentPolicy(found.memory, found.normaliser), access, REMEMBERS
    assert access.mean is not None
    return TorchPolicy(access.mean), access, READ
