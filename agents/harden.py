"""Harden: fine-tune a trained controller against what it fails under, in a game or in Gymnasium.

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
from typing import Literal, get_args

from robo_adv.agents.evaluation import (
    NORMAL,
    World,
    is_gymnasium,
    normal_opponents,
    other_player,
)
from robo_adv.agents.hardened import Hardened
from robo_adv.agents.named import bundle_folder, check_fits, named_policy
from robo_adv.agents.presets import GYMNASIUM, preset_of
from robo_adv.agents.published import SUFFIX
from robo_adv.agents.scripted import SCRIPTED
from robo_adv.audit.reference import Reference, layout_of
from robo_adv.bundle import Bundle, Card, load_bundle
from robo_adv.envs.game import Game, make_game
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.policy import Policy, Pool
from robo_adv.runs import Run
from robo_adv.training.learner import PPOConfig, Threads
from robo_adv.training.loop import train as train_loop
from robo_adv.training.smooth import SmoothConfig

Method = Literal["sa-ppo", "opponents"]


@dataclass(frozen=True)
class HardenConfig:
    """Attributes:
    controller: `zoo:<name>` or a bundle's folder; game, options and player come from its card.
    opponents: of a game that has any: names, `normal` for the zoo's self-play policies. Method
        `opponents` needs them; each name gets an equal share of the episodes.
    reward: preset of the game's reward weights; by default the card's, or that of the game's preset.
        Gymnasium's environments have their own.
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


def usual(card: Card) -> PPOConfig:
    """Hyper-parameters for going on with the policy of a card."""
    found = GYMNASIUM if is_gymnasium(card.game) else preset_of(card.game).ppo
    architecture = card.architecture
    return replace(fine(found), net_arch=architecture.net_arch, activation=architecture.activation)


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
    world = World(card.game, card.options).make(1, threads=1)
    check_fits(card, world, card.player, config.controller)
    reward = _reward(config, card)
    names = _opponents(config, world, card.player)
    opponents: dict[str, Policy] = {}
    if names:
        opponents = {other_player(world, card.player): _pool(names, world, card.player)}
    if config.method == "sa-ppo" and config.smooth.unit == "sigma" and config.reference:
        Reference.load(Path(config.reference)).check_fits(layout_of(world, card.player))
    if config.reference and (config.method != "sa-ppo" or config.smooth.unit != "sigma"):
        raise RoboAdvError(
            "--reference says what one sigma is, and nothing here is measured in it "
            f"(method {config.method}, smooth.unit {config.smooth.unit}); leave it out"
        )
    ppo = replace(
        config.ppo, net_arch=card.architecture.net_arch, activation=card.architecture.activation
    )
    return Setting(bundle, reward, ppo, opponents, names)


def _reward(config: HardenConfig, card: Card) -> str:
    if is_gymnasium(card.game):
        if config.reward:
            raise RoboAdvError(f"{card.game} pays its own reward; leave out --reward")
        return ""
    reward = config.reward or str(card.provenance.get("reward") or preset_of(card.game).reward)
    make_game(card.game, 1, threads=1, reward={card.player: reward}, **card.options)
    return reward


def _trained(name: str) -> Bundle:
    """The bundle to start from.

    Raises:
        RoboAdvError: the controller has no network of ours, or one that PPO cannot go on with.
    """
    folder = None if name in SCRIPTED else bundle_folder(name)
    if folder is None or folder.suffix.lower() in (".onnx", ".zip", SUFFIX):
        kind = "a scripted policy" if name in SCRIPTED else "no bundle"
        raise RoboAdvError(
            f"harden goes on training a network: {name!r} is {kind}, expected zoo:<name>, a bundle's "
            "or a run's folder (`robo-adv list`; a stable-baselines3 zip, or a published FILE.model, "
            "becomes a bundle by `robo-adv zoo import`)"
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


def _note(metrics: Mapping[str, float]) -> str:
    """What progress says where nothing is won."""
    return f"return {metrics['return']:.4g}" if metrics.get("episodes_ended") else ""


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
        outcome="wins" if setting.opponents else "success", note=_note, again="harden",
    )  # fmt: skip
    run.finish({**result, "before": trainee.before})
    return run.folder / "checkpoints" / "best"
