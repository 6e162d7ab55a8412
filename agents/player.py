"""One PPO learner at one Seat: the trainee behind the protagonist and adversary recipes."""

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

SELECTION_EPISODES = 200


class Player:
    """Learns one player of a game against bound opponents.

    Args:
        game: id. options: of the game. player: who learns. opponents: a Policy per other player
            (none in a game of one player).
        reward: preset or weights. provenance: goes into the bundles' cards.
    """

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
        self.player, self.ppo = player, ppo
        self.seat = Seat(world, player, opponents, observation="flat")
        self.learner = Learner(self.seat, ppo, seed, threads)
        self.opponents = dict(opponents)
        self.provenance = dict(provenance or {})
        self.arena = make_game(
            game, even_width(SELECTION_EPISODES, 128), threads=threads.physics, **options
        )

    @property
    def game(self) -> Game:
        return self.seat.game

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
            net_arch=self.ppo.net_arch,
            activation=self.ppo.activation,
            provenance={**self.provenance, "steps": self.steps},
            metrics=metrics,
        )

    def frozen(self) -> NetworkPolicy:
        """A copy of the current policy that learning does not change."""
        return copy_policy(self.learner.policy, self.ppo)

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        return self.learner.state()

    def load_state(self, tensors: dict[str, torch.Tensor], values: Mapping[str, Any]) -> None:
        self.learner.load_state(tensors, values)


def copy_policy(policy: NetworkPolicy, ppo: PPOConfig) -> NetworkPolicy:
    """A policy of the same weights in memory of its own."""
    network = build_network(
        policy.observation_size, policy.action_size, ppo.net_arch, ppo.activation
    )
    load_network_weights(network, network_weights(policy.network))
    return NetworkPolicy(network)
