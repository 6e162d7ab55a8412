"""Learning improves: a kicker against a keeper that stands still, judged on unseen scenarios."""

from __future__ import annotations

import pytest

from robo_adv.agents.named import named_policy
from robo_adv.agents.player import Player
from robo_adv.envs.game import make_game
from robo_adv.policy import Policy
from robo_adv.rollout import REPORTED, Episodes, play, scenarios
from robo_adv.training.learner import PPOConfig, Threads
from training.tiny import GAME

PPO = PPOConfig(
    num_envs=64, n_steps=32, batch_size=512, n_epochs=10, learning_rate=1e-3, gamma=0.97
)
STEPS = 102_400


@pytest.mark.slow
def test_twenty_seconds_of_training_teach_a_kicker_to_score() -> None:
    world = make_game(GAME, 1, threads=1, arms=0)
    keeper = named_policy("zero", world, "keeper")
    player = Player(
        GAME, {"arms": 0}, "kicker", {"keeper": keeper}, PPO, seed=0, threads=Threads(1, 1, 1)
    )

    def measure(kicker: Policy) -> Episodes:
        return play(player.arena, {"kicker": kicker, "keeper": keeper}, scenarios(REPORTED, 128))

    untrained = measure(player.learner.policy)
    while player.steps < STEPS:
        player.iterate()
    trained = measure(player.learner.policy)
    assert trained.win_rate("kicker").low > untrained.win_rate("kicker").high
    gained = trained.returns["kicker"].mean() - untrained.returns["kicker"].mean()
    assert gained > 2.5, f"the mean return rose by {gained:.2f} only"  # about 5 to 6 measured
