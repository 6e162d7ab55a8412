"""What an imitation is made with; every learner has a part of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from robo_adv.errors import RoboAdvError, unknown
from robo_adv.imitation.config import DiscriminatorConfig
from robo_adv.sight import OWN
from robo_adv.training.learner import PPOConfig, Threads
from robo_adv.training.off_policy import SACConfig

LearnerName = Literal["gail", "airl", "gail-sac", "sqil", "asaf", "bc", "dagger"]
Control = Literal["", "null", "shuffled"]
ADVERSARIAL = ("gail", "airl", "gail-sac")
OFF_POLICY = ("gail-sac", "sqil")  # they learn by SAC, their networks are those of `sac`
ABSORBING = ("gail", "gail-sac")
FROM_PICTURES = ("bc", "dagger", "gail")
USES: dict[str, tuple[str, ...]] = {  # parts of a config that do something, by learner
    "gail": ("ppo", "disc"), "airl": ("ppo", "disc"), "gail-sac": ("sac", "disc"), "sqil": ("sac",),
    "asaf": ("ppo", "asaf"), "bc": ("ppo", "clone"), "dagger": ("ppo", "clone", "dagger"),
}  # fmt: skip
_SEEN = ("state-action", "state")


def _check(config: Any, **least: float) -> None:
    """Raises RoboAdvError for a value below its least."""
    for name, bound in least.items():
        if not getattr(config, name) >= bound:
            raise RoboAdvError(f"{name} must be at least {bound:g}, got {getattr(config, name)}")


@dataclass(frozen=True)
class CloneConfig:
    """Behavioural cloning, by itself and in DAgger's rounds.

    Attributes:
        validation: share of the demonstrations that early stopping looks at: whole episodes, or steps
            where the share is less than one episode.
        patience: epochs without a lower validation loss after which it stops.
        entropy: weight of the bonus.
        l2: weight of half the squared weights.
        epochs: per round of DAgger.
    """

    batch_size: int = 256
    learning_rate: float = 1e-3
    validation: float = 0.1
    patience: int = 30
    entropy: float = 1e-3
    l2: float = 0.0
    epochs: int = 10

    def __post_init__(self) -> None:
        _check(self, batch_size=1, patience=1, epochs=1, learning_rate=0.0, validation=0.0)
        if self.validation >= 1.0:
            raise RoboAdvError(f"validation must lie below 1, got {self.validation}")


@dataclass(frozen=True)
class DaggerConfig:
    """DAgger (Ross et al. 2011).

    Attributes:
        num_envs: environments of a round.
        n_steps: of each of them in a round.
        decay: in round i, from 0, each step is the expert's with probability decay ** i; all are
            labelled by it.
    """

    num_envs: int = 8
    n_steps: int = 100
    decay: float = 0.7

    def __post_init__(self) -> None:
        _check(self, num_envs=1, n_steps=1, decay=0.0)
        if self.decay > 1.0:
            raise RoboAdvError(f"decay must be at most 1, got {self.decay}")


@dataclass(frozen=True)
class AsafConfig:
    """Adversarial soft advantage fitting (Barde et al. 2020).

    Attributes:
        window: steps of a window: 1 is ASAF-1, w ASAF-w, 0 whole episodes.
        stride: steps between windows.
        num_envs: environments that are collected from.
        n_steps: of each of them per iteration.
        epochs: over the learner's windows, per iteration.
        batch_size: windows of the learner, and as many of the expert.
        max_grad_norm: of the gradient.
    """

    window: int = 1
    stride: int = 1
    num_envs: int = 8
    n_steps: int = 256
    epochs: int = 10
    batch_size: int = 256
    learning_rate: float = 1e-3
    max_grad_norm: float = 1.0

    def __post_init__(self) -> None:
        _check(
            self, window=0, stride=1, num_envs=1, n_steps=1, epochs=1, batch_size=1,
            learning_rate=0.0, max_grad_norm=0.0,
        )  # fmt: skip


@dataclass(frozen=True)
class ImitatorConfig:
    """Attributes:
    demonstrations: their path. learner: who learns from them.
    expert: name of a policy that DAgger asks, and that scores are measured by; '' takes the
        demonstrations' returns for that.
    options: of the world, in place of those of the demonstrations. opponents: policies of the
        other player, where there is one; () takes those of the demonstrations.
    demos: how many episodes to learn from, from the first; 0 all. every: keep one step of so many.
    cameras: of the demonstrations, from whose pictures the policy acts; () for numbers alone.
    sees: with cameras, slices of the observation that it is told too; `own` are its own sensors'.
    control: `null` leaves the discriminator untrained, `shuffled` mixes the demonstrated actions
        up: what a learner reaches like that is not imitation.
    absorb: what a step is worth after which an episode is over is what the discriminator says of
        being over, for ever, in place of nothing.
    relative_goals: where a task has goals, discriminators see them relative to what is achieved.
    expert_share: part of each of SAC's batches that is the expert's; `gail-sac` pays for it as for
        one's own, and `sqil` always has one half.
    steps: environment steps; gradient steps of `bc`.
    selection_episodes: by whose true return the checkpoint `best` is chosen.
    score_episodes: that checkpoints are scored on, at the end.
    """

    demonstrations: str
    learner: LearnerName = "gail"
    expert: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    opponents: tuple[str, ...] = ()
    demos: int = 0
    every: int = 1
    cameras: tuple[str, ...] = ()
    sees: tuple[str, ...] = (OWN,)
    control: Control = ""
    absorb: bool = False
    relative_goals: bool = True
    expert_share: float = 0.5
    steps: int = 100_000
    seed: int = 0
    ppo: PPOConfig = PPOConfig()
    sac: SACConfig = SACConfig()
    disc: DiscriminatorConfig = DiscriminatorConfig()
    clone: CloneConfig = CloneConfig()
    dagger: DaggerConfig = DaggerConfig()
    asaf: AsafConfig = AsafConfig()
    threads: Threads = Threads()
    checkpoint_every: int = 20_000
    selection_episodes: int = 20
    score_episodes: int = 100

    def __post_init__(self) -> None:
        for name, kind in (("learner", LearnerName), ("control", Control)):
            if getattr(self, name) not in get_args(kind):
                raise unknown(name, getattr(self, name), get_args(kind))
        _check(self, demos=0, every=1, selection_episodes=1, score_episodes=1)
        if self.control == "null" and self.learner not in ADVERSARIAL:
            raise RoboAdvError(
                f"the null control leaves a discriminator untrained, and {self.learner} has none; "
                "use --control shuffled"
            )
        if self.control == "shuffled" and self.learner == "dagger":
            raise RoboAdvError("dagger asks its expert, so shuffled demonstrations are no control")
        if not 0.0 <= self.expert_share < 1.0:
            raise RoboAdvError(f"expert_share must lie in 0..1, below 1, got {self.expert_share}")
        gamma = self.base.gamma
        if self.cameras and (self.learner not in FROM_PICTURES or self.absorb):
            what = "absorb" if self.absorb else self.learner
            raise RoboAdvError(
                f"{what} works on numbers alone; learners from pictures are "
                f"{', '.join(FROM_PICTURES)}, without absorb"
            )
        if self.cameras and self.learner == "gail" and self.disc.inputs not in _SEEN:
            raise RoboAdvError(
                f"a discriminator that sees pictures has inputs {' or '.join(_SEEN)}, got "
                f"{self.disc.inputs!r}"
            )
        if self.absorb and (self.learner not in ABSORBING or gamma >= 1.0):
            raise RoboAdvError(
                f"absorb belongs to the learners {' and '.join(ABSORBING)} with a discount below 1, "
                f"got {self.learner} and gamma {gamma}"
            )
        if self.every > 1 and self.learner == "asaf" and self.asaf.window != 1:
            raise RoboAdvError(
                f"asaf's windows of {self.asaf.window} need every step of the demonstrations, got "
                f"every = {self.every}; use --asaf.window 1"
            )

    @property
    def base(self) -> PPOConfig | SACConfig:
        """Of the reinforcement learning beneath, and of the networks."""
        return self.sac if self.learner in OFF_POLICY else self.ppo


_PARTS = {"disc": DiscriminatorConfig, "clone": CloneConfig, "dagger": DaggerConfig,
          "asaf": AsafConfig}  # fmt: skip


def config_of_run(**values: Any) -> ImitatorConfig:
    """The config that a run's config.json holds.

    Raises:
        TypeError: values that it does not have.
    """
    for name, kind in _PARTS.items():
        if isinstance(values.get(name), Mapping):
            part = {k: tuple(v) if isinstance(v, list) else v for k, v in values[name].items()}
            values[name] = kind(**part)
    return ImitatorConfig(**values)
