"""White boxes of the user's own: torch modules, and objects that say what they are from inside.

An object may carry `access` (an `Access`), or plain attributes of the same names: `mean`, a
differentiable function of float32 tensors from raw observations (n, d) to actions (n, a) on the
environment's scale; and optionally `std` (a function, or numbers (a,)), `value`, `q`, and `normaliser`,
a pair (mean, standard deviation) of arrays (d,). What they say is compared with what `predict` does.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import nn

from robo_adv.agents.access import network_access, sb3_access
from robo_adv.agents.chain import described
from robo_adv.agents.torch_graph import traced_mlp
from robo_adv.envs.episode import World
from robo_adv.errors import RoboAdvError
from robo_adv.policy import ROWS, Policy, State, begun
from robo_adv.threats.access import Access, Tensor
from robo_adv.threats.mlp import MLP
from robo_adv.training.network import NetworkPolicy

Array = npt.NDArray[Any]
Mean = Callable[[Tensor], Tensor]
CLOSE = 1e-3  # largest difference of `mean` and `predict`, in half the action's range
OWN = "Gradients come from its own {what} ({shape}), with the same actions."


class TorchPolicy:
    """A differentiable function of observations (n, d), float32, as a policy."""

    def __init__(self, mean: Mean) -> None:
        self.mean = mean

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        with torch.no_grad():
            action = self.mean(torch.as_tensor(observation, dtype=torch.float32))
        return action.numpy(), state


def is_white(found: Any) -> bool:
    """Whether an object says by itself how its actions come about, so that it needs no `predict`."""
    return isinstance(found, nn.Module) or callable(getattr(found, "mean", None))


def white_policy(found: Any, name: str) -> Policy:
    """A module, or an object with `mean` and without `predict`, as a policy."""
    mean = _given(found, name).mean
    assert mean is not None
    return TorchPolicy(mean)


def given_access(found: Any, name: str, size: int) -> tuple[Access, str]:
    """What an object of observations (n, size) lets be known of itself, and a sentence about it;
    nothing for a black box.

    Raises:
        RoboAdvError: an attribute is not what its name says.
    """
    access = _given(found, name)
    if access.mean is None:
        return access, ""
    if not isinstance(access.mean, MLP):
        access = replace(access, mean=traced_mlp(access.mean, size) or access.mean)
    what = "weights" if isinstance(found, (nn.Module, BaseAlgorithm, NetworkPolicy)) else "`mean`"
    return access, OWN.format(what=what, shape=described(access.mean))


def _given(found: Any, name: str) -> Access:
    own, mean = getattr(found, "access", None), getattr(found, "mean", None)
    if isinstance(own, Access):
        return own
    if isinstance(found, NetworkPolicy):
        return network_access(found)
    if isinstance(found, BaseAlgorithm):
        flat = isinstance(found.observation_space, gymnasium.spaces.Box)
        return sb3_access(found) if flat else Access()
    if not callable(mean):
        if not isinstance(found, nn.Module):
            return Access()
        mean = module_mean(found, name)
    functions = {key: getattr(found, key, None) for key in ("value", "q")}
    return Access(
        mean=_checked_output(mean, name, "mean"),
        std=_std(getattr(found, "std", None), name),
        **{key: _checked_output(f, name, key) for key, f in functions.items() if callable(f)},
        normaliser=_normaliser(getattr(found, "normaliser", None), name),
    )


def module_mean(module: nn.Module, name: str) -> Mean:
    """The function of a module: an MLP where it is a plain stack of layers."""
    module.eval()
    if isinstance(module, nn.Sequential):
        found = MLP.of(_leaves(copy.deepcopy(module).float().cpu()))
        if found is not None:
            return found
    weight = next((p for p in module.parameters() if p.is_floating_point()), torch.zeros(1))

    def mean(observation: Tensor) -> Tensor:
        action = module(observation.to(weight.device, weight.dtype))
        if not isinstance(action, torch.Tensor):
            raise RoboAdvError(
                f"{name} is a torch module that gives {type(action).__name__}, expected a tensor of "
                "actions (n, a); wrap it in an object with `mean(observation) -> actions`"
            )
        return action.float().cpu()

    return mean


def _leaves(module: nn.Module) -> Iterator[nn.Module]:
    if not isinstance(module, nn.Sequential):
        yield module
        return
    for part in module:
        yield from _leaves(part)


def _checked_output(function: Any, name: str, what: str) -> Any:
    """The function, with errors in words for what it gives; an MLP is left as it is."""
    if isinstance(function, MLP):
        return function

    def checked(*inputs: Tensor) -> Tensor:
        try:
            out = function(*(x.float() for x in inputs))
        except RoboAdvError:
            raise
        except Exception as error:  # the user's own code
            shapes = ", ".join(str(tuple(x.shape)) for x in inputs)
            raise RoboAdvError(
                f"{name}: its `{what}` fails on tensors of shape {shapes}: "
                f"{type(error).__name__}: {error}"
            ) from error
        if not isinstance(out, torch.Tensor) or out.ndim != 2 or len(out) != len(inputs[0]):
            told = tuple(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
            raise RoboAdvError(
                f"{name}: its `{what}` gave {told} for {len(inputs[0])} observations, expected a "
                f"tensor ({len(inputs[0])}, {'1' if what in ('value', 'q') else 'a'})"
            )
        return out.float()

    return checked


def _std(given: Any, name: str) -> Mean | None:
    if given is None or callable(given):
        return None if given is None else _checked_output(given, name, "std")
    try:
        fixed = torch.as_tensor(given, dtype=torch.float32).detach().reshape(1, -1)
    except (TypeError, ValueError, RuntimeError) as error:
        raise RoboAdvError(f"{name}: its `std` is neither a function nor numbers (a,)") from error
    return lambda observation: fixed.expand(len(observation), -1)


def _normaliser(given: Any, name: str) -> tuple[Array, Array] | None:
    if given is None:
        return None
    try:
        mean, std = (torch.as_tensor(x).detach().cpu().numpy().astype(float) for x in given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise RoboAdvError(
            f"{name}: its `normaliser` must be a pair (mean, standard deviation) of arrays (d,)"
        ) from error
    return mean, std


def check_access(name: str, policy: Policy, access: Access, world: World, player: str) -> None:
    """Compare what `access` says with what a deterministic policy does, on made-up observations.

    Raises:
        RoboAdvError: they differ, no gradient can be had, or shapes are wrong.
    """
    d, a = world.observation_space(player).shape[0], world.action_size(player)
    _check_normaliser(name, access, d)
    seen = trials(access, world, player)
    x = torch.as_tensor(seen, dtype=torch.float32).requires_grad_(True)
    assert access.mean is not None
    mean = access.mean(x)
    if mean.shape != (len(seen), a):
        raise RoboAdvError(
            f"{name}: its `mean` gave {tuple(mean.shape)} for observations {seen.shape}, expected "
            f"({len(seen)}, {a}) in {world.id}"
        )
    if not mean.requires_grad:
        raise RoboAdvError(
            f"{name}: no gradient can be had of its `mean`; it must compute with torch from the "
            "observations it is given (no NumPy, no `detach`, no `torch.no_grad`)"
        )
    for what, wide in (("std", a), ("value", 1), ("q", 1)):
        function: Any = getattr(access, what)
        if function is not None:
            found = function(x, mean) if what == "q" else function(x)
            if found.shape != (len(seen), wide):
                raise RoboAdvError(
                    f"{name}: its `{what}` gave {tuple(found.shape)} for observations {seen.shape}, "
                    f"expected ({len(seen)}, {wide})"
                    + ("; what scales observations is `normaliser`" if what == "std" else "")
                )
    if told := difference(mean.detach().numpy(), policy, seen, world, player):
        raise RoboAdvError(
            f"{name}: its `mean` is not what it does: {told}. `mean` must take raw observations "
            "(normalise inside it) and give actions on the environment's own scale"
        )


def _check_normaliser(name: str, access: Access, d: int) -> None:
    if access.normaliser is None:
        return
    mean, std = access.normaliser
    if mean.shape != (d,) or std.shape != (d,):
        raise RoboAdvError(
            f"{name}: its `normaliser` has shapes {mean.shape} and {std.shape}, expected two of ({d},)"
        )
    if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()):
        raise RoboAdvError(
            f"{name}: its `normaliser` must be finite, with standard deviations above 0 (add the "
            "epsilon that the policy adds)"
        )


def trials(access: Access, world: World, player: str) -> Array:
    """Made-up observations (2 ROWS, d): usual ones, by the normaliser if there is one, and large
    ones."""
    space = world.observation_space(player)
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(2, ROWS, *space.shape))
    mean, std = access.normaliser or (np.zeros(space.shape), np.ones(space.shape))
    made = np.concatenate([mean + std * noise[0], 3.0 * noise[1]])
    return np.asarray(np.clip(made, space.low, space.high), space.dtype)


def difference(mean: Array, policy: Policy, seen: Array, world: World, player: str) -> str:
    """How actions (n, a) differ from those of a policy once both are clipped to the action space, in
    words; '' when they do not."""
    space = world.action_space(player)
    seeds, starts = np.arange(len(seen), dtype=np.uint64), np.ones(len(seen), dtype=bool)
    given, _ = policy.predict(seen.copy(), begun(policy, seeds, seen) or None, starts, True)
    said, done = (np.clip(x, space.low, space.high) for x in (mean, np.asarray(given)))
    half = (space.high - space.low) / 2.0
    unit = np.where(np.isfinite(half), half, 1.0 + np.abs(done))
    far = np.abs(said - done) / unit
    if not (far > CLOSE).any():  # what is not finite is told elsewhere
        return ""
    row = int(np.nanargmax(np.nanmax(far, axis=1)))
    return (
        f"for one observation it says {np.round(said[row], 4).tolist()} where `predict` does "
        f"{np.round(done[row], 4).tolist()}"
    )
