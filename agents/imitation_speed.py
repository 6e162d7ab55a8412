"""What a discriminator costs: GAIL against the same PPO without one, in turns within a minute."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median

from robo_adv.agents.imitators.adversarial import Gail
from robo_adv.agents.imitators.lesson import prepare
from robo_adv.agents.imitators.presets import preset
from robo_adv.agents.limit import timed
from robo_adv.agents.recording import RecordConfig, record
from robo_adv.training.learner import Learner, Threads

GAME, EXPERT = "Reach-v0", "reach-expert"
TARGET = 0.3  # of PPO's time that a discriminator may add


def imitation_against_learning(
    threads: Threads, iterations: int = 2, rounds: int = 3
) -> dict[str, float]:
    """The time that GAIL's discriminator adds (rewards and updates) as a share of PPO's, rollout and
    update, in a game whose physics is fast, by the game's preset."""
    with tempfile.TemporaryDirectory() as folder:
        shown = Path(folder) / "demonstrations"
        record(RecordConfig(EXPERT, GAME, episodes=5, width=8, threads=threads.physics)).save(shown)
        config = replace(preset("gail", GAME, str(shown)), threads=threads)
        lesson = prepare(config)
        gail = Gail(lesson, config)
        seat = lesson.task.seat(config.ppo.num_envs)
        learner = Learner(seat, config.ppo, config.seed, threads)

        def judged() -> float:
            return timed(lambda: [gail.iterate() for _ in range(iterations)])

        def plain() -> float:
            return timed(lambda: [learner.iterate() for _ in range(iterations)])

        judged(), plain()
        pairs = [(judged(), plain()) for _ in range(rounds)]
    steps = config.ppo.rollout * iterations
    return {
        "gail_steps_per_s": steps / median(a for a, _ in pairs),
        "plain_steps_per_s": steps / median(b for _, b in pairs),
        "added": median(a / b - 1.0 for a, b in pairs),
    }
