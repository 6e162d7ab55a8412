"""One learner at one Seat: the trainee behind the protagonist and adversary recipes, and what it
shares with that of the hindsight recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from robo_adv.bundle import save_bundle
from robo_adv.envs.game import Game, make_game
from robo_adv.envs.seat import Seat
from robo_adv.policy import Policy
from robo_adv.rollout import SELECTION, even_width, play, scenarios
from robo_adv.runs import plain
from robo_adv.training.learner import Learner, PPOConfig, Threads
from robo_adv.training.network import (
    NetworkPolicy,
    build_network,
    load_network_weights,
    network_weights,
)
from robo_adv.training.off_policy import OffPolicyLearner, SACConfig

SELECTION_EPISODES = 200


class Trainee:
    """What learners of one player share: steps, scores from an arena of its own, bundles, state.

    Attributes:
        game, arena: where it learns and where it is scored. player: who learns.
        opponents: a Policy per other player. config: the learner's. provenance: for bundles' cards.
    """

    game: Game
    arena: Game
    player: str
    opponents: Mapping[str, Policy]
    learner: Learner | OffPolicyLearner
    config: PPOConfig | SACConfig
    provenance: Mapping[str, Any]

    @property
    def steps(self) -> int:
        return self.learner.steps

    def iterate(self) -> dict[str, float]:
        return self.learner.iterate()

    def score(self) -> dict[str, float]:
        """Win rate (success rate of a lone player) of the deterministic policy on the selection
        scenarios."""
        policies = {**self.opponents, self.player: self.learner.policy}
        episodes = play(self.arena, policies, scenarios(SELECTION, SELECTION_EPISODES))
        rate = float(episodes.win_rate(self.player))
        return {"score": rate, f"selection_{'win' if self.opponents else 'success'}_rate": rate}

    def save(self, folder: Path, metrics: Mapping[str, Any]) -> None:
        save_bundle(
            folder,
            self.learner.policy,
            game=self.game.id,
            options=plain(self.game.options),
            player=self.player,
            layout=self.game.layouts[self.player].to_json(),
            net_arch=self.config.net_arch,
            activation=self.config.activation,
            provenance={**self.provenance, "steps": self.steps},
            metrics=metrics,
        )

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        return self.learner.state()

    def load_state(self, tensors: dict[str, torch.Tensor], values: Mapping[str, Any]) -> None:
        self.learner.load_state(tensors, values)


def selection_arena(game: str, threads: int, options: Mapping[str, Any]) -> Game:
    """A game as wide as the selection scenarios need."""
    return make_game(game, even_width(SELECTION_EPISODES, 128), threads=threads, **options)


class Player(Trainee):
    """Learns one player of a game against bound opponents.

    Args:
        game: id. options: of the game. player: who learns. opponents: a Policy per other player
            (none in a game of one player).
        reward: preset or weights. provenance: goes into the bundles' cards.
    """

    learner: Learner
    config: PPOConfig

    def __init__(
        self,
        game: str,
        options: Mapping[str, Any],
        player: str,
        opponents: Mapping[str, Policy],
        ppo: PPOConfig,
        seed: int,
        *,
        threads: Threads,
        reward: str | Mapping[str, float] = "dense",
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        world = make_game(
            game, ppo.num_envs, threads=threads.physics, reward={player: reward}, **options
        )
        self.game, self.player, self.config = world, player, ppo
        self.seat = Seat(world, player, opponents, observation="flat")
        self.learner = Learner(self.seat, ppo, seed, threads)
        self.opponents = dict(opponents)
        self.provenance = dict(provenance or {})
        self.arena = selection_arena(game, threads.physics, options)

    def frozen(self) -> NetworkPolicy:
        """A copy of the current policy that learning does not change."""
        return copy_policy(self.learner.policy, self.config)


def copy_policy(policy: NetworkPolicy, ppo: PPOConfig) -> NetworkPolicy:
    """A policy of the same weights in memory of its own."""
    network = build_network(
        policy.observation_size, policy.action_size, ppo.net_arch, ppo.activation
    )
    load_network_weights(network, network_weights(policy.network))
    return NetworkPolicy(network)
