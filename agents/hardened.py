"""Hardened: PPO that goes on from a bundle, as the training loop wants it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from robo_adv.agents import player as players
from robo_adv.agents.access import network_access
from robo_adv.agents.evaluation import NORMAL, World, is_gymnasium
from robo_adv.agents.fitted import fitted_bundle
from robo_adv.agents.named import bundle_folder
from robo_adv.agents.player import Trainee, selection_arena
from robo_adv.agents.world_seat import WorldSeat
from robo_adv.audit.reference import REFERENCE, Reference, measure
from robo_adv.bundle import load_bundle
from robo_adv.envs.foreign import GymnasiumWorld
from robo_adv.envs.game import Game, make_game
from robo_adv.envs.seat import Seat
from robo_adv.policy import Policy
from robo_adv.rollout import SELECTION, even_width, play, scenarios
from robo_adv.runs import Run
from robo_adv.threats.access import Access
from robo_adv.threats.attacked import Attacked
from robo_adv.threats.attacks.pgd import PGD
from robo_adv.threats.threat import Threat
from robo_adv.training.learner import Learner, PPOConfig, Threads
from robo_adv.training.network import load_network_weights, network_weights
from robo_adv.training.smooth import Smoothness

if TYPE_CHECKING:
    from robo_adv.agents.harden import HardenConfig, Setting

REFERENCE_EPISODES = 50
REFERENCE_FILE = "reference.json"
RETURNS = 20  # selection episodes where what counts is the return of hundreds of steps


class Hardened(Trainee):
    """The trainee: PPO that starts from a bundle.

    Attributes:
        scale: one unit of the observation budget per sensor (d,), None without the regulariser.
        before: the scores of the controller it starts from; every card repeats them.
    """

    learner: Learner
    config: PPOConfig

    def __init__(self, config: HardenConfig, setting: Setting, run: Run) -> None:
        card, ppo = setting.card, setting.ppo
        self.player, self.opponents, self.config = card.player, dict(setting.opponents), ppo
        self.provenance = _provenance(config, setting)
        self.game, self.arena, seat = self._worlds(setting, config.threads)
        self.learner = Learner(seat, ppo, config.seed, config.threads)
        self.warmup, self.smooth = config.warmup, config.smooth
        load_network_weights(
            self.learner.ppo.policy, network_weights(setting.bundle.policy.network)
        )
        self.learner.normaliser_learns = False
        self.scale = None
        if config.method == "sa-ppo":
            self.scale = self._scale(config, run)
            if config.smooth.weight > 0:
                first, last = config.warmup, config.steps
                self.learner.penalise(Smoothness(config.smooth, self.scale, first, last))
        self.before = self.score()

    def _worlds(self, setting: Setting, threads: Threads) -> tuple[Game, Game, Seat | WorldSeat]:
        """Where it learns, where it is scored, and its seat in the first."""
        card, count = setting.card, setting.ppo.num_envs
        self.earns = is_gymnasium(card.game)
        if self.earns:
            world = World(card.game, card.options)
            learns = world.make(count)
            assert isinstance(learns, GymnasiumWorld)
            return learns, world.make(even_width(RETURNS, 128)), WorldSeat(learns)
        reward = {card.player: setting.reward}
        options = card.options
        game = make_game(card.game, count, threads=threads.physics, reward=reward, **options)
        arena = selection_arena(card.game, threads.physics, options)
        return game, arena, Seat(game, card.player, setting.opponents, observation="flat")

    def _scale(self, config: HardenConfig, run: Run) -> Any:
        """One unit of the budget per sensor (d,); sigma is kept in the run's folder."""
        if self.smooth.unit == "policy":
            normaliser = network_access(self.learner.policy).normaliser
            assert normaliser is not None
            return normaliser[1]
        if config.reference:
            found = Reference.load(Path(config.reference))
        else:
            policies = {**self.opponents, self.player: self._fitted()[0]}
            seeds = scenarios(REFERENCE, REFERENCE_EPISODES)
            found, _ = measure(config.controller, self.arena, self.player, policies, seeds)
        found.save(run.folder / REFERENCE_FILE)
        return np.array(found.std)

    def iterate(self) -> dict[str, float]:
        self.learner.freeze_actor(self.steps < self.warmup)
        metrics = super().iterate()
        if self.earns:  # nothing is won there: no rate of it is shown
            metrics["episodes_ended"], metrics["episodes"] = metrics["episodes"], 0.0
        return metrics

    def score(self) -> dict[str, float]:
        """Rate of success (against opponents of wins), or mean return where Gymnasium's environments
        pay one, on the selection scenarios; with the regulariser the mean of that without attack and
        of that under PGD of the whole budget, on the same scenarios."""
        label = "selection_return" if self.earns else (
            f"selection_{'win' if self.opponents else 'success'}_rate"
        )  # fmt: skip
        clean = self._mark(self._fitted()[0])
        if self.scale is None:
            return {"score": clean, label: clean}
        attacked = self._attacked()
        return {"score": (clean + attacked) / 2.0, label: clean, f"{label}_attacked": attacked}

    def save(self, folder: Path, metrics: Mapping[str, Any]) -> None:
        super().save(folder, {**metrics, "before": self.before})

    def _fitted(self) -> tuple[Policy, Access]:
        """The present policy as it plays in the arena, and access to it."""
        return fitted_bundle(self.learner.policy, self.arena, self.player)

    def _attacked(self) -> float:
        policy, access = self._fitted()
        threat = Threat("observation", self.smooth.budget, unit=self.smooth.unit)
        assert self.scale is not None
        return self._mark(Attacked(policy, threat, PGD(), self.scale, access=access))

    def _mark(self, policy: Policy) -> float:
        policies = {**self.opponents, self.player: policy}
        count = RETURNS if self.earns else players.SELECTION_EPISODES
        played = play(self.arena, policies, scenarios(SELECTION, count))
        if self.earns:
            return float(played.returns[self.player].mean())
        return float(played.win_rate(self.player))


def _provenance(config: HardenConfig, setting: Setting) -> dict[str, Any]:
    card = setting.card
    told: dict[str, Any] = {
        "recipe": "harden", "method": config.method, "seed": config.seed,
        **({"reward": setting.reward} if setting.reward else {}),
        "hardened": config.controller, "hardened_sha256": card.sha256,
        "hardened_recipe": card.provenance.get("recipe"), "warmup": config.warmup,
        "learning_rate": config.ppo.learning_rate, "opponents": setting.names,
    }  # fmt: skip
    hashes = {name: _sha256(name) for name in setting.names}
    told["opponents_sha256"] = {name: found for name, found in hashes.items() if found}
    return told | ({"smooth": config.smooth} if config.method == "sa-ppo" else {})


def _sha256(name: str) -> str:
    """Of a bundle's weights; '' for what is none."""
    if name == NORMAL:
        return ""
    folder = bundle_folder(name)
    return "" if folder is None else load_bundle(folder).card.sha256
