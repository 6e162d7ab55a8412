"""What an imitation is made with when nothing else is said, by learner and environment."""

from __future__ import annotations

from dataclasses import replace

from robo_adv.agents.imitators.config import OFF_POLICY, AsafConfig, ImitatorConfig, LearnerName
from robo_adv.agents.presets import preset_of
from robo_adv.envs.game import GAMES
from robo_adv.imitation.config import DiscriminatorConfig
from robo_adv.training.learner import PPOConfig
from robo_adv.training.off_policy import SACConfig

_USUAL = PPOConfig(
    num_envs=8, n_steps=256, batch_size=256, n_epochs=5, learning_rate=7e-4, net_arch=(64, 64)
)
PPO: dict[str, PPOConfig] = {
    "CartPole-v1": replace(_USUAL, n_steps=128, batch_size=256, learning_rate=1e-3),
    "Pendulum-v1": replace(
        _USUAL,
        n_steps=64,
        batch_size=128,
        learning_rate=1e-3,
        gamma=0.95,
        log_std_init=0.0,
        scale_reward=True,
    ),
}
DISC: dict[str, DiscriminatorConfig] = {"Pendulum-v1": DiscriminatorConfig(updates=10)}
ASAF = dict.fromkeys(PPO, AsafConfig())  # one step at a time, which larger tasks do not forgive
_USUAL_SAC = SACConfig(
    num_envs=8, gradient_steps=4, iteration=1_000, learning_starts=2_000, buffer_size=500_000,
    learning_rate=1e-3, gamma=0.99, tau=0.005, net_arch=(128, 128),
)  # fmt: skip
SAC: dict[str, SACConfig] = {
    "Pendulum-v1": replace(
        _USUAL_SAC, num_envs=2, gradient_steps=2, iteration=200, learning_starts=400,
        learning_rate=1e-3, gamma=0.95, net_arch=(64, 64),
    ),
}  # fmt: skip
_USUAL_SAC_DISC = DiscriminatorConfig(
    updates=250, learning_rate=3e-4, spectral_norm=True, gradient_penalty=0.0
)
SAC_DISC: dict[str, DiscriminatorConfig] = {
    "Pendulum-v1": DiscriminatorConfig(learning_rate=1e-3, updates=100)
}
STEPS = {"CartPole-v1": 40_000, "Pendulum-v1": 80_000}
CLONING_STEPS = 20_000  # gradient steps, of which early stopping leaves most out
DAGGER_STEPS = 16_000
SAC_STEPS = {
    "Pendulum-v1": 6_000,
    "Hopper-v5": 120_000,
}  # a gradient step costs as much as 20 of environments


def preset(learner: LearnerName, env: str, demonstrations: str = "") -> ImitatorConfig:
    """The config of a learner in an environment, one of our games or of Gymnasium's."""
    steps = STEPS.get(env, 1_000_000)
    ppo = PPO.get(env, _USUAL)
    asaf = ASAF.get(env, AsafConfig(window=20, stride=10, batch_size=64, learning_rate=3e-4))
    sac = SAC.get(env, _USUAL_SAC)
    if env in GAMES:
        usual = preset_of(env)
        steps, sac = usual.steps, SACConfig()
        ppo = replace(usual.ppo, num_envs=64, n_steps=50, batch_size=640, scale_reward=True)
        asaf = replace(asaf, num_envs=32, n_steps=128)
    steps = {"bc": CLONING_STEPS, "dagger": DAGGER_STEPS}.get(learner, steps)
    disc = DISC.get(env, DiscriminatorConfig())
    if learner in OFF_POLICY:
        disc = SAC_DISC.get(env, _USUAL_SAC_DISC)
        steps = SAC_STEPS.get(env, 400_000)
    checkpoints = {"bc": 500, "dagger": 1_600}.get(learner, max(steps // 10, 1))
    return ImitatorConfig(
        demonstrations=demonstrations, learner=learner, ppo=ppo, sac=sac, asaf=asaf, steps=steps,
        disc=disc,
        checkpoint_every=checkpoints,
    )  # fmt: skip
