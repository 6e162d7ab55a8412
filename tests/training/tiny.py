"""Trainings of a second: tiny networks, short episodes, few selection scenarios."""

from __future__ import annotations

import functools
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from robo_adv.agents import design, player, selfplay
from robo_adv.bundle import save_bundle
from robo_adv.envs.game import make_game
from robo_adv.envs.soccer.kick_and_defend import KickAndDefend
from robo_adv.runs import Run
from robo_adv.training.learner import Learner, PPOConfig, Threads
from robo_adv.training.network import NetworkPolicy, build_network

GAME = "KickAndDefend-v0"
PPO = PPOConfig(num_envs=8, n_steps=16, batch_size=64, n_epochs=2, net_arch=(16,))
ONE_THREAD = Threads(physics=1, rollout=1, update=1)
OPTIONS = {"arms": 0}
FLAGS = [
    "--set", "arms=0", "--ppo.num-envs", "8", "--ppo.n-steps", "16", "--ppo.batch-size", "64",
    "--ppo.n-epochs", "2", "--ppo.net-arch", "16", "--threads.physics", "1", "--threads.update", "1",
]  # fmt: skip

SetAttribute = Callable[[Any, str, Any], None]


def shrink(set_attribute: SetAttribute = setattr, clock_steps: int = 25) -> None:
    """Episodes of at most `clock_steps` control steps, and 8 selection scenarios."""
    init = KickAndDefend.__init__

    @functools.wraps(init)
    def short(self: KickAndDefend, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        self.clock_steps = clock_steps

    set_attribute(KickAndDefend, "__init__", short)
    for module in (design, player, selfplay):
        set_attribute(module, "SELECTION_EPISODES", 8)


class Killed(Exception):
    """Stands for `kill -9` inside one process: nothing after it is written."""


def stop_after(patch: pytest.MonkeyPatch, iterations: int, how: str) -> None:
    """Training is `killed` before the next iteration, or gets a Ctrl-C (`interrupted`)."""
    original, calls = Learner.iterate, 0

    def iterate(self: Learner, learn: bool = True) -> dict[str, float]:
        nonlocal calls
        if how == "killed" and calls == iterations:
            raise Killed
        out = original(self, learn)
        calls += 1
        if how == "interrupted" and calls == iterations:
            signal.raise_signal(signal.SIGINT)
        return out

    patch.setattr(Learner, "iterate", iterate)


def disturb_generators() -> None:
    """What another process would find in the global generators."""
    torch.manual_seed(4242)
    np.random.seed(4242)


def new_run(root: Path, config: Any, verb: str = "test") -> Run:
    return Run.create(GAME, verb, config, 0, root)


def metrics(run: Run) -> list[dict[str, Any]]:
    """The run's metrics without its times."""
    times = ("steps_per_second", "seconds")
    return [{k: v for k, v in m.items() if k not in times} for m in run.metrics()]


def resume_state(run: Run) -> tuple[dict[str, torch.Tensor], Any]:
    with safe_open(run.folder / "checkpoints" / "resume.safetensors", framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, json.loads(file.metadata()["state"])


def assert_same_run(first: Run, second: Run) -> None:
    """Weights, optimiser, generators, physics, cards and metrics are equal to the bit."""
    files = {
        path.relative_to(first.folder): path
        for path in first.folder.rglob("policy.*")
        if "history" not in path.parts
    }
    assert files, "no bundle was written"
    for name, path in files.items():
        assert (second.folder / name).read_bytes() == path.read_bytes(), f"{name} differs"
    (tensors, header), (others, other_header) = resume_state(first), resume_state(second)
    assert tensors.keys() == others.keys()
    assert any(name.split("/")[-1].startswith("optimizer.") for name in tensors)
    for key, tensor in tensors.items():
        assert torch.equal(tensor, others[key]), f"{key} differs in the resume state"
    assert header == other_header
    assert metrics(first) == metrics(second)


def tiny_bundle(
    folder: Path,
    seed: int = 0,
    *,
    player: str = "kicker",
    options: dict[str, Any] | None = None,
    game: str = GAME,
    recipe: str = "test",
) -> Path:
    """A bundle of an untrained network with lively actions; returns its folder."""
    options = OPTIONS if options is None else options
    world = make_game(GAME, 1, threads=1, **options)
    layout = world.layouts[player]
    torch.manual_seed(seed)
    network = build_network(layout.size, world.action_size(player), (16,), "tanh")
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    policy = NetworkPolicy(network)
    save_bundle(
        folder, policy, game=game, options=options, player=player, layout=layout.to_json(),
        net_arch=(16,), activation="tanh", provenance={"recipe": recipe, "seed": seed},
    )  # fmt: skip
    return folder
