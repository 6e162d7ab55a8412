"""Train PPO of stable-baselines3 on one of Gymnasium's MuJoCo robots, as the literature's victims are:
64 x 64 tanh networks, observations and rewards normalised, 2 million steps.

    python docs/train_gymnasium.py HalfCheetah-v5 --seed 1 --out half-cheetah-s1

writes half-cheetah-s1.zip and half-cheetah-s1.pkl (the statistics of VecNormalize), for a bundle:

    robo-adv zoo import half-cheetah-s1.zip half-cheetah-s1 --trust --env HalfCheetah-v5 \\
        --statistics half-cheetah-s1.pkl

About 15 minutes on one core. The hyper-parameters are CleanRL's for continuous control, with eight
environments of 256 steps in place of one of 2048.
"""

from __future__ import annotations

import argparse

import gymnasium
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

ENVS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("env", help="id of a Gymnasium environment, e.g. Walker2d-v5")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=2_000_000)
    parser.add_argument("--out", required=True, help="where to write, without a suffix")
    given = parser.parse_args()
    torch.set_num_threads(1)
    made = DummyVecEnv([lambda: Monitor(gymnasium.make(given.env)) for _ in range(ENVS)])
    made.seed(given.seed)
    world = VecNormalize(made, gamma=0.99)
    network = {"pi": [64, 64], "vf": [64, 64]}
    model = PPO(
        "MlpPolicy", world, n_steps=2048 // ENVS, batch_size=64, n_epochs=10,
        learning_rate=lambda left: 3e-4 * max(left, 0.05), gamma=0.99, gae_lambda=0.95,
        clip_range=0.2, ent_coef=0.0, vf_coef=0.5, max_grad_norm=0.5, seed=given.seed, device="cpu",
        policy_kwargs={"net_arch": network, "activation_fn": torch.nn.Tanh},
    )  # fmt: skip
    model.learn(given.steps, log_interval=50)
    model.save(given.out)
    world.save(f"{given.out}.pkl")


if __name__ == "__main__":
    main()
