"""Harden: fine-tune a trained controller against what it fails under.

Method `sa-ppo`: PPO with SA-PPO's regulariser, against perturbed observations. Method `opponents`: PPO
against a pool of opponents, adversaries among them. The bundle holds actor, critic and normaliser; the
critic is first fitted to the new task alone, and the normaliser stays as it is, so that hardening does
not change what one standard deviation means to the policy.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from robo_adv.agents import player as players
from robo_adv.agents.access import network_access
from robo_adv.agents.evaluation import NORMAL, normal_opponents, other_player
from robo_adv.agents.named import bundle_folder, check_fits, game_of, named_policy
from robo_adv.agents.player import Player
from robo_adv.agents.presets import preset_of
from robo_adv.agents.scripted import SCRIPTED
from robo_adv.audit.reference import REFERENCE, Reference, layout_of, measure
from robo_adv.bundle import Bundle, Card, load_bundle
from robo_adv.envs.game import Game, make_game
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.policy import Policy, Pool
from robo_adv.rollout import SELECTION, play, scenarios
from robo_adv.runs import Run
from robo_adv.threats.attacked import Attacked
from robo_adv.threats.attacks.pgd import PGD
from robo_adv.threats.threat import Threat
from robo_adv.training.learner import PPOConfig, Threads
from robo_adv.training.loop import train as train_loop
from robo_adv.training.network import load_network_weights, network_weights
from robo_adv.training.smooth import SmoothConfig, Smoothness

Method = Literal["sa-ppo", "opponents"]
REFERENCE_EPISODES = 50
REFERENCE_FILE = "reference.json"


@dataclass(frozen=True)
class HardenConfig:
    """Attributes:
    controller: `zoo:<name>` or a bundle's folder; game, options and player come from its card.
    opponents: of a game that has any: names, `normal` for the zoo's self-play policies. Method
        `opponents` needs them; each name gets an equal share of the episodes.
    reward: preset of the game's reward weights; by default the card's, or that of the game's preset.
    reference: reference.json of an audit, what one sigma is; measured on the controller by default.
    smooth: of method `sa-ppo`. warmup: steps in which the critic learns alone.
    ppo: net_arch and activation are the bundle's, whatever it says.
    """

    controller: str = ""
    method: Method = "sa-ppo"
    opponents: tuple[str, ...] = ()
    reward: str = ""
    reference: str = ""
    smooth: SmoothConfig = SmoothConfig()
    steps: int = 1_000_000
    warmup: int = 50_000
    seed: int = 0
    ppo: PPOConfig = field(default_factory=lambda: fine(PPOConfig()))
    threads: Threads = Threads()
    checkpoint_every: int = 100_000


def fine(ppo: PPOConfig) -> PPOConfig:
    """Hyper-parameters for fine-tuning in place of those for learning from scratch."""
    return replace(ppo, learning_rate=3e-4, anneal_over=1_200_000)


@dataclass(frozen=True)
class Setting:
    """What a config means, checked.

    Attributes:
        opponents: a Policy per other player. names: theirs, one per policy of a pool.
    """

    bundle: Bundle
    reward: str
    ppo: PPOConfig
    opponents: Mapping[str, Policy]
    names: tuple[str, ...]

    @property
    def card(self) -> Card:
        return self.bundle.card


def prepare(config: HardenConfig) -> Setting:
    """Names to policies.

    Raises:
        RoboAdvError: the controller is not a trained actor-critic of ours, or something does not exist
            or does not fit.
    """
    if config.method not in get_args(Method):
        raise unknown("method", config.method, get_args(Method))
    if config.warmup < 0:
        raise RoboAdvError(f"warmup must be at least 0 steps, got {config.warmup}")
    bundle = _trained(config.controller)
    card = bundle.card
    world = game_of(card, 1, threads=1)
    check_fits(card, world, card.player, config.controller)
    reward = config.reward or str(card.provenance.get("reward") or preset_of(card.game).reward)
    make_game(card.game, 1, threads=1, reward={card.player: reward}, **card.options)
    names = _opponents(config, world, card.player)
    opponents: dict[str, Policy] = {}
    if names:
        opponents = {other_player(world, card.player): _pool(names, world, card.player)}
    if config.method == "sa-ppo" and config.smooth.unit == "sigma" and config.reference:
        Reference.load(Path(config.reference)).check_fits(layout_of(world, card.player))
    ppo = replace(
        config.ppo, net_arch=card.architecture.net_arch, activation=card.architecture.activation
    )
    return Setting(bundle, reward, ppo, opponents, names)


def _trained(name: str) -> Bundle:
    """The bundle to start from.

    Raises:
        RoboAdvError: the controller has no network of ours, or one that PPO cannot go on with.
    """
    folder = None if name in SCRIPTED else bundle_folder(name)
    if folder is None or folder.suffix.lower() in (".onnx", ".zip"):
        kind = "a scripted policy" if name in SCRIPTED else "no bundle"
        raise RoboAdvError(
            f"harden goes on training a network: {name!r} is {kind}, expected zoo:<name>, a bundle's "
            "or a run's folder (`robo-adv list`; a stable-baselines3 zip becomes a bundle by "
            "`robo-adv zoo import`)"
        )
    bundle = load_bundle(folder)
    if bundle.policy.sight is not None:
        raise RoboAdvError(f"harden trains on numbers alone, and {name} acts from pictures")
    if bundle.card.architecture.kind != "mlp":
        raise RoboAdvError(
            f"harden goes on with PPO, which needs an actor-critic; {name} holds "
            f"{bundle.card.architecture.kind!r} alone (made by {bundle.card.provenance.get('recipe')})"
        )
    return bundle


def _opponents(config: HardenConfig, world: Game, player: str) -> tuple[str, ...]:
    """Names of the opponents, those given or what is normal; () in a game of one player."""
    if len(world.players) == 1:
        if config.method == "opponents":
            raise RoboAdvError(
                f"method opponents needs a game with opponents, {world.id} has one player "
                f"({player}); use --method sa-ppo"
            )
        if config.opponents:
            raise RoboAdvError(f"{world.id} has one player and no opponents; leave them out")
        return ()
    other = other_player(world, player)
    normal = (NORMAL,) if normal_opponents(world, other) else ("zero",)
    if config.method == "opponents" and not config.opponents:
        raise RoboAdvError(
            "method opponents needs --opponents: names of policies, adversaries among them, for "
            f"example {' '.join(normal)} zoo:adversary-... or the run folder of `robo-adv attack "
            f"{config.controller}`"
        )
    return config.opponents or normal


def _pool(names: tuple[str, ...], world: Game, player: str) -> Policy:
    """The opponents as one policy; every name has the same share, `normal` divides its own."""
    other = other_player(world, player)
    members: list[Policy] = []
    weights: list[float] = []
    for name in names:
        alike = normal_opponents(world, other) if name == NORMAL else [name]
        if not alike:
            raise RoboAdvError(f"the zoo has no normal {other!r} for {world.id}; name an opponent")
        members += [named_policy(one, world, other) for one in alike]
        weights += [1.0 / len(alike)] * len(alike)
    return members[0] if len(members) == 1 else Pool(members, weights)


class Hardened(Player):
    """The trainee: a Player that starts from a bundle.

    Attributes:
        scale: one unit of the observation budget per sensor (d,), None without the regulariser.
        before: the scores of the controller it starts from; every card repeats them.
    """

    def __init__(self, config: HardenConfig, setting: Setting, run: Run) -> None:
        card = setting.card
        super().__init__(
            card.game, card.options, card.player, setting.opponents, setting.ppo, config.seed,
            threads=config.threads, reward=setting.reward, provenance=_provenance(config, setting),
        )  # fmt: skip
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

    def _scale(self, config: HardenConfig, run: Run) -> Any:
        """One unit of the budget per sensor (d,); sigma is kept in the run's folder."""
        if self.smooth.unit == "policy":
            normaliser = network_access(self.learner.policy).normaliser
            assert normaliser is not None
            return normaliser[1]
        if config.reference:
            found = Reference.load(Path(config.reference))
        else:
            policies = {**self.opponents, self.player: self.learner.policy}
            seeds = scenarios(REFERENCE, REFERENCE_EPISODES)
            found, _ = measure(config.controller, self.arena, self.player, policies, seeds)
        found.save(run.folder / REFERENCE_FILE)
        return np.array(found.std)

    def iterate(self) -> dict[str, float]:
        self.learner.freeze_actor(self.steps < self.warmup)
        return super().iterate()

    def score(self) -> dict[str, float]:
        """As other trainees against `opponents`; with the regulariser the mean of the rates without
        attack and under PGD of the whole budget, on the same scenarios."""
        clean = super().score()
        if self.scale is None:
            return clean
        (label,) = (name for name in clean if name != "score")
        attacked = self._attacked_rate()
        mean = (clean["score"] + attacked) / 2.0
        return {**clean, "score": mean, f"{label}_attacked": attacked}

    def save(self, folder: Path, metrics: Mapping[str, Any]) -> None:
        super().save(folder, {**metrics, "before": self.before})

    def _attacked_rate(self) -> float:
        policy = self.learner.policy
        threat = Threat("observation", self.smooth.budget, unit=self.smooth.unit)
        attacked = Attacked(policy, threat, PGD(), self.scale, access=network_access(policy))  # type: ignore[arg-type]
        policies = {**self.opponents, self.player: attacked}
        seeds = scenarios(SELECTION, players.SELECTION_EPISODES)
        return float(play(self.arena, policies, seeds).win_rate(self.player))


def _provenance(config: HardenConfig, setting: Setting) -> dict[str, Any]:
    card = setting.card
    told: dict[str, Any] = {
        "recipe": "harden", "method": config.method, "seed": config.seed,
        "reward": setting.reward, "hardened": config.controller, "hardened_sha256": card.sha256,
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


def harden(
    config: HardenConfig, run: Run, *, resume: bool = False, quiet: bool = False
) -> Path:  # fmt: skip
    """Fine-tune; returns the folder of the best checkpoint's bundle.

    Raises:
        RoboAdvError: the controller cannot be hardened so, or something does not exist.
    """
    setting = prepare(config)
    if not quiet:
        print(f"measuring {config.controller}, to start from", file=sys.stderr)
    trainee = Hardened(config, setting, run)
    result = train_loop(
        trainee, run, config.steps, checkpoint_every=config.checkpoint_every, resume=resume,
        label=f"hardening {config.controller}: {config.method}", quiet=quiet,
        outcome="wins" if setting.opponents else "success",
    )  # fmt: skip
    run.finish({**result, "before": trainee.before})
    return run.folder / "checkpoints" / "best"
