"""Recording demonstrations: any policy, in any world, from scenario seeds kept for this alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv.agents.album import Album
from robo_adv.agents.controllers import BLACK_BOX, Controller, controller
from robo_adv.agents.evaluation import opponent_policy, other_player
from robo_adv.agents.named import bundle_folder, find_card
from robo_adv.agents.subject import AuditConfig, opponent_name
from robo_adv.agents.worlds import make_world
from robo_adv.envs.episode import Step, World
from robo_adv.envs.game import Game
from robo_adv.errors import RoboAdvError
from robo_adv.imitation.demonstration_card import Card, Demonstrator, Recording, Space
from robo_adv.imitation.demonstrations import DEMONSTRATED, Demonstrations, Episode
from robo_adv.imitation.demonstrations_file import MOST_BYTES
from robo_adv.policy import EpisodicPolicy, Policy, State
from robo_adv.rollout import REPORTED, Episodes, even_width, play, scenarios
from robo_adv.runs import plain, versions
from robo_adv.safety.criteria import Criterion, make_criterion
from robo_adv.sight import Eyes, sight

Array = npt.NDArray[Any]
Tell = Callable[[int, int], None]  # episodes kept so far, scenarios played so far
MOST = 100_000  # episodes of a recording
TRIES = 20  # scenarios per asked-for episode before a recording of successes gives up


@dataclass(frozen=True)
class RecordConfig:
    """What is recorded; see the options of `robo-adv data record`.

    Attributes:
        cameras: whose pictures to record too, of `camera_size` pixels each way.
        opponent: who plays the other player. success: a condition, where the world tells of none.
        attempts: scenarios to try at most, 0 for 20 per episode. width: episodes side by side.
    """

    controller: str
    env: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    player: str = ""
    opponent: str = ""
    episodes: int = 25
    only_successful: bool = False
    success: str = ""
    attempts: int = 0
    stochastic: bool = False
    seed: int = DEMONSTRATED
    width: int = 32
    trust: bool = False
    statistics: Path | None = None
    imports: tuple[str, ...] = ()
    threads: int = 0
    cameras: tuple[str, ...] = ()
    camera_size: int = 64


def record(config: RecordConfig, tell: Tell | None = None) -> Demonstrations:
    """Record demonstrations; the same ones at any width.

    Returns:
        up to `config.episodes` episodes: fewer where `attempts` scenarios did not give more.

    Raises:
        RoboAdvError: a name that does not exist or fit, or not one episode could be kept.
    """
    attempts = _check(config)
    world = make_world(
        config.env, even_width(config.episodes, config.width), options=config.options,
        controller=config.controller, imports=config.imports, threads=config.threads,
    )  # fmt: skip
    try:
        return _recorded(config, world, attempts, tell or (lambda kept, played: None))
    finally:
        world.close()


def _check(config: RecordConfig) -> int:
    """How many scenarios may be tried."""
    for name, most in (("episodes", MOST), ("width", 4096)):
        if not 1 <= getattr(config, name) <= most:
            raise RoboAdvError(f"{name} must be 1 to {most:,}, got {getattr(config, name):,}")
    attempts = config.attempts or TRIES * config.episodes
    if attempts < config.episodes:
        raise RoboAdvError(f"{attempts} attempts cannot give {config.episodes} episodes")
    last = config.seed + attempts - 1
    if not 0 <= config.seed <= 2**63 - 1 - attempts:
        raise RoboAdvError(
            f"scenario seeds are 0 to {2**63 - 1}, got {config.seed} to {last} (the default is "
            f"{DEMONSTRATED:,})"
        )
    if config.seed < DEMONSTRATED and last >= REPORTED:
        raise RoboAdvError(
            f"scenario seeds {REPORTED:,} to {DEMONSTRATED - 1:,} are for evaluation and selection; "
            f"demonstrations must not show them, got {config.seed:,} to {last:,} (the default is "
            f"{DEMONSTRATED:,})"
        )
    return attempts


def _recorded(config: RecordConfig, world: World, attempts: int, tell: Tell) -> Demonstrations:
    player = config.player or _own_player(config.controller) or world.players[0]
    found = controller(
        config.controller, world, player, trust=config.trust, statistics=config.statistics
    )
    others = _others(config, world, player)
    bound = {p: opponent_policy(name, world, p) for p, name in others.items()}  # type: ignore[arg-type]
    judge = _criterion(config, world, player)
    policies = {**bound, player: found.policy}
    eyes = _eyes(config, world)
    taker = Taker(world, policies, player, not config.stochastic, judge, eyes)
    kept, counts = choose(
        taker, config.seed, config.episodes, attempts, config.only_successful, tell
    )
    if not kept:
        raise RoboAdvError(
            f"{config.controller} gave no episode to keep in {counts['played']} scenarios of "
            f"{world.id}: {_told(counts)}"
        )
    card = Card(
        **place(world, player),
        others=others,
        cameras=config.cameras,
        camera_size=config.camera_size if config.cameras else 0,
        demonstrator=demonstrator(found, config.stochastic),
        recording=Recording(
            first_seed=config.seed, only_successful=config.only_successful,
            success="" if judge is None else judge.to_json()["success"], **counts,
        ),
        provenance={"versions": versions()},
    )  # fmt: skip
    return Demonstrations.of(kept, card)


def _eyes(config: RecordConfig, world: World) -> Eyes | None:
    """What takes the pictures; None without cameras.

    Raises:
        RoboAdvError: no such cameras, or more pictures than a set may hold.
    """
    if not config.cameras:
        return None
    seen = sight(config.cameras, config.camera_size)
    longest = int(getattr(world, "clock_steps", 1))
    if (size := config.episodes * (longest + 1) * seen.pixels) > MOST_BYTES:
        raise RoboAdvError(
            f"{config.episodes} episodes of up to {longest} steps would take {size / 1e9:.1f} GB of "
            f"pictures, a set may hold {MOST_BYTES / 1e9:.1f}; record fewer, or smaller ones"
        )
    return Eyes(world, seen)


def place(world: World, player: str) -> dict[str, Any]:
    """The fields of a card that say where its demonstrations belong."""
    return {
        "game": world.id,
        "options": plain(getattr(world, "options", {})),
        "player": player,
        "layout": world.layouts[player].to_json(),
        "observation_space": Space.of(world.observation_space(player)),
        "action_space": Space.of(world.action_space(player)),
        "control_dt": world.control_dt,
    }


def demonstrator(found: Controller, stochastic: bool) -> Demonstrator:
    """Who demonstrates, for a card."""
    notes = tuple(note for note in found.notes if note != BLACK_BOX)
    acted = found.deterministic and not stochastic
    return Demonstrator(
        name=found.name, kind=found.kind, sha256=found.digest, deterministic=acted, notes=notes
    )


class Taker:
    """Plays scenarios and takes down what one player saw and did.

    Args:
        policies: one per player. judge: says what success is; None where nobody does.
        eyes: take pictures of what happens, where some are wanted.
    """

    def __init__(
        self,
        world: World,
        policies: Mapping[str, Policy],
        player: str,
        deterministic: bool = True,
        judge: Criterion | None = None,
        eyes: Eyes | None = None,
    ) -> None:
        self.world, self.player, self.judge, self.eyes = world, player, judge, eyes
        self.deterministic = deterministic
        self.heard = Overheard(policies[player])
        self.policies = {**policies, player: self.heard}

    def take(
        self, first: int, count: int, progress: Callable[[int], None] | None = None
    ) -> tuple[list[Episode], Episodes]:
        """Episodes of `count` scenarios from seed `first` on, and what `play` says of them."""
        tape = Tape(self.world, self.player, self.heard, count)
        album = None if self.eyes is None else Album(self.world, self.eyes, count)
        before, after = (tape.before, tape.after) if album is None else album.beside(tape)
        result = play(
            self.world, self.policies, scenarios(first, count), deterministic=self.deterministic,
            disturb=before, watch=after, progress=progress,
            limits=None if self.judge is None else self.judge.limits,
        )  # fmt: skip
        success = np.full(count, np.nan)
        if self.judge is not None:
            success = self.judge.judge(result).success.astype(np.float64)
        episodes = tape.episodes(result.seeds, success)
        return episodes if album is None else album.illustrate(episodes), result


def choose(
    taker: Taker, first: int, episodes: int, attempts: int, only_successful: bool, tell: Tell
) -> tuple[list[Episode], dict[str, int]]:
    """The first `episodes` that can be kept, in the order of their seeds, and why others were not.

    Which ones these are does not depend on how many are played at a time.
    """
    kept: list[Episode] = []
    counts = {"played": 0, "failed": 0, "diverged": 0, "forfeited": 0}
    while len(kept) < episodes and counts["played"] < attempts:
        done, have = counts["played"], len(kept)
        rate = max(have / done, 0.05) if done else 1.0
        batch = min(max(int((episodes - have) / rate), 1), attempts - done)
        taken, result = taker.take(first + done, batch, partial(_tell, tell, have, done))
        for j, episode in enumerate(taken):
            counts["played"] += 1
            if result.diverged[j]:
                counts["diverged"] += 1
            elif result.forfeit[j]:
                counts["forfeited"] += 1
            elif only_successful and episode.success != 1.0:
                counts["failed"] += 1
            else:
                kept.append(episode)
            if len(kept) == episodes:
                break
        tell(len(kept), counts["played"])
    return kept, counts


def _tell(tell: Tell, kept: int, before: int, played: int) -> None:
    tell(kept, before + played)


class Overheard:
    """A policy whose last actions (N, a) can be read."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.actions: Array = np.zeros((0, 0))
        if isinstance(policy, EpisodicPolicy):
            self.start = policy.start

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        actions, state = self.policy.predict(observation, state, episode_start, deterministic)
        self.actions = np.asarray(actions, dtype=np.float64)
        return actions, state


class Tape:
    """What one player sees, does and gets in `play`, episode by episode."""

    def __init__(self, world: World, player: str, heard: Overheard, episodes: int) -> None:
        n, space = world.num_envs, world.action_space(player)
        self.player, self.heard, self.rows = player, heard, np.arange(n)
        self.low, self.high = space.low.astype(np.float64), space.high.astype(np.float64)
        self.at = np.zeros(n, dtype=np.int64)  # steps of each row's running episode
        self.playing = np.full(n, -1, dtype=np.int64)
        self.seen = np.zeros((n, 64, world.layouts[player].size), dtype=np.float32)
        self.done = np.zeros((n, 64, world.action_size(player)), dtype=np.float32)
        self.paid = np.zeros((n, 64))
        self.ended: list[tuple[Array, Array, Array, bool, bool] | None] = [None] * episodes

    def before(self, playing: Array, obs: Mapping[str, Array]) -> None:
        """Take down what is seen before a step."""
        if self.at.max() == self.seen.shape[1]:
            self.seen, self.done, self.paid = (
                np.concatenate([x, np.zeros_like(x)], axis=1)
                for x in (self.seen, self.done, self.paid)
            )
        self.playing = playing
        self.seen[self.rows, self.at] = obs[self.player]

    def after(self, step: Step | None) -> None:
        """Take down what was done in a step."""
        if step is None:
            return
        actions = np.clip(self.heard.actions[: len(self.rows)], self.low, self.high)
        self.done[self.rows, self.at] = actions
        self.paid[self.rows, self.at] = step.rewards[self.player]
        self.at += 1
        if step.final is None:
            return
        for k, i in enumerate(step.final.ids):
            episode, length = int(self.playing[i]), int(self.at[i])
            if episode >= 0:
                last = step.final.obs[self.player][k : k + 1].astype(np.float32)
                self.ended[episode] = (
                    np.concatenate([self.seen[i, :length], last]), self.done[i, :length].copy(),
                    self.paid[i, :length].copy(), bool(step.terminated[i]), bool(step.truncated[i]),
                )  # fmt: skip
            self.at[i] = 0

    def episodes(self, seeds: Array, success: Array) -> list[Episode]:
        """The episodes in the order of their scenarios."""
        assert None not in self.ended
        return [
            Episode(*ended, seed=int(seed), success=float(good))  # type: ignore[misc]
            for ended, seed, good in zip(self.ended, seeds, success, strict=True)
        ]


def _criterion(config: RecordConfig, world: World, player: str) -> Criterion | None:
    if config.success or getattr(world, "reports_success", True):
        return make_criterion(world, player, success=config.success)
    if config.only_successful:
        raise RoboAdvError(
            f"{world.id} does not tell what success is; name a condition, for example "
            '--success "return>=3000"'
        )
    return None


def _own_player(name: str) -> str:
    """Whom a bundle plays; '' for what is none."""
    if Path(name).is_file() or bundle_folder(name) is None:
        return ""
    return find_card(name).player


def _others(config: RecordConfig, world: World, player: str) -> dict[str, str]:
    """Who plays the other player, by name."""
    if len(world.players) == 1:
        if config.opponent:
            raise RoboAdvError(f"{world.id} has one player and no opponents; leave out --opponent")
        return {}
    assert isinstance(world, Game)
    asked = AuditConfig(controller=config.controller, opponent=config.opponent)
    return {other_player(world, player): opponent_name(asked, world, player)}


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{counts[name]} {name}" for name in ("failed", "diverged", "forfeited"))
