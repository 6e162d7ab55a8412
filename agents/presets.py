"""Presets: how each game is trained when nothing else is said."""

from __future__ import annotations

from dataclasses import dataclass, replace

from robo_adv.training.learner import PPOConfig


@dataclass(frozen=True)
class Preset:
    """Attributes:
    steps: environment steps. reward: preset of the game's reward weights.
    opponents: names of the policies to play against; () for a game of one player.
    """

    steps: int = 1_000_000
    ppo: PPOConfig = PPOConfig()
    reward: str = "dense"
    opponents: tuple[str, ...] = ()


# Dense shaping makes the near future enough: a discount of 0.95 looks 0.8 s ahead, 0.97 1.3 s.
_SHORT, _LONG = PPOConfig(gamma=0.95), PPOConfig(gamma=0.97)
# Pushing keeps improving as its steps get smaller; without that it wavers around 90 %.
_ANNEALED = replace(_LONG, anneal_over=4_000_000)
# Of Gymnasium's MuJoCo robots: CleanRL's for continuous control, eight environments of 256 steps in
# place of one of 2048, as `docs/train_gymnasium.py`.
GYMNASIUM = PPOConfig(
    num_envs=8, n_steps=256, batch_size=64, n_epochs=10, learning_rate=3e-4, log_std_init=0.0,
    scale_reward=True,
)  # fmt: skip
PRESETS: dict[str, Preset] = {
    "KickAndDefend-v0": Preset(2_500_000, opponents=("track-ball",)),
    "Reach-v0": Preset(400_000, _SHORT),
    "SharedWorkspace-v0": Preset(1_000_000, _SHORT),
    "Push-v0": Preset(4_000_000, _ANNEALED),
    "PickAndPlace-v0": Preset(4_000_000, _LONG),
    "Clutter-v0": Preset(8_000_000, _LONG),
    "ToolUse-v0": Preset(8_000_000, _LONG),
}


def preset_of(game: str) -> Preset:
    """The game's preset, or the general one for a game that has none of its own."""
    return PRESETS.get(game.removeprefix("robo_adv/"), Preset())
