"""Self-play: two players learn in turns, each against a pool of the other's past.

Scheme: short turns, and in each turn a pool of the opponent's latest policy, some of its past ones
drawn uniformly, and a scripted anchor. Plain alternation against the last opponent only cycles (each
side forgets what beat older opponents); sampling the past is Bansal et al. 2018 (section 4.2), and the
anchor keeps a fixed reference in every pool. Turns give both players the same number of steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from robo_adv import seeding
from robo_adv.agents.named import named_policy
from robo_adv.agents.player import SELECTION_EPISODES, Player
from robo_adv.bundle import load_bundle
from robo_adv.envs.game import make_game
from robo_adv.errors import RoboAdvError
from robo_adv.policy import Policy, Pool
from robo_adv.rollout import SELECTION, play, scenarios
from robo_adv.runs import Run
from robo_adv.training.learner import PPOConfig, Threads
from robo_adv.training.loop import train as train_loop


@dataclass(frozen=True)
class SelfPlayConfig:
    """Attributes:
    steps: environment steps of both players together.
    turn: iterations of one player before the other's turn.
    past: how many past opponents are in a pool. latest_weight, anchor_weight: their shares.
    latest_only: plain alternation against the latest opponent, for comparison.
    anchors: scripted policies that are in the pools, per player.
    """

    game: str = "KickAndDefend-v0"
    options: dict[str, Any] = field(default_factory=dict)
    steps: int = 4_000_000
    seed: int = 0
    turn: int = 8
    past: int = 3
    latest_weight: float = 0.5
    anchor_weight: float = 0.15
    latest_only: bool = False
    anchors: dict[str, str] = field(
        default_factory=lambda: {"kicker": "chase-ball", "keeper": "track-ball"}
    )
    ppo: PPOConfig = PPOConfig()
    threads: Threads = Threads()
    checkpoint_every: int = 500_000


class SelfPlay:
    """Two Players and the history of both."""

    def __init__(self, config: SelfPlayConfig, run: Run) -> None:
        self.config, self.run = config, run
        arena = make_game(config.game, 1, threads=1, **config.options)
        if len(arena.players) != 2:
            raise RoboAdvError(f"self-play needs two players, {config.game} has {arena.players}")
        self.names = arena.players
        self.anchors = {p: named_policy(config.anchors[p], arena, p) for p in self.names}
        self.history: dict[str, list[Policy]] = {p: [] for p in self.names}
        self.turns = 0
        self.in_turn = 0
        self.players = {
            p: Player(
                config.game, config.options, p, {self.other(p): self.anchors[self.other(p)]},
                config.ppo, seed=2 * config.seed + index, threads=config.threads,
                provenance={"recipe": "selfplay", "seed": config.seed},
            )
            for index, p in enumerate(self.names)
        }  # fmt: skip

    def other(self, player: str) -> str:
        return self.names[1 - self.names.index(player)]

    @property
    def steps(self) -> int:
        return sum(player.steps for player in self.players.values())

    @property
    def turn_of(self) -> str:
        return self.names[self.turns % 2]

    def iterate(self) -> dict[str, float]:
        name = self.turn_of
        metrics = self.players[name].iterate()
        self.in_turn += 1
        if self.in_turn == self.config.turn:
            self._end_turn(name)
        out = {f"{name}/{key}": value for key, value in metrics.items()}
        # The progress line shows the kicker's side of it whoever learns.
        wins, episodes = metrics.get("wins", 0.0), metrics["episodes"]
        out["wins"] = wins if name == self.names[0] else episodes - wins
        return {**out, "episodes": episodes, "steps": float(self.steps)}

    def _end_turn(self, name: str) -> None:
        self.in_turn = 0
        self.turns += 1
        player = self.players[name]
        self._save_history(name, len(self.history[name]))
        self.history[name].append(player.frozen())
        self._bind(self.turn_of)

    def _bind(self, name: str) -> None:
        """Bind the turn's pool: a pure function of seed, turn and history."""
        other = self.other(name)
        past = self.history[other]
        if not past:
            return
        config = self.config
        if config.latest_only:
            self.players[name].seat.rebind({other: past[-1]})
            return
        u = seeding.uniform([config.seed], seeding.MEMBER, config.past, self.turns)[0]
        drawn = [past[int(x * len(past))] for x in u]
        members = [past[-1], *drawn, self.anchors[other]]
        share = (1.0 - config.latest_weight - config.anchor_weight) / config.past
        weights = [config.latest_weight, *[share] * config.past, config.anchor_weight]
        self.players[name].seat.rebind({other: Pool(members, weights)})

    def score(self) -> dict[str, float]:
        """Win rate of the latest against the latest; the last checkpoint is always the best one,
        since a rate against a moving opponent does not say which checkpoint is stronger."""
        first, second = self.names
        policies = {p: self.players[p].learner.policy for p in self.names}
        arena = self.players[first].arena
        episodes = play(arena, policies, scenarios(SELECTION, SELECTION_EPISODES))
        rate = float(episodes.win_rate(first))
        return {"score": float(self.steps), f"{first}_beats_{second}": rate}

    def save(self, folder: Path, metrics: Mapping[str, Any]) -> None:
        for name, player in self.players.items():
            player.save(folder / name, metrics)

    def _history_folder(self, name: str, index: int) -> Path:
        return self.run.folder / "checkpoints" / "history" / f"{name}-{index:03d}"

    def _save_history(self, name: str, index: int) -> None:
        self.players[name].save(self._history_folder(name, index), {})

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        tensors: dict[str, torch.Tensor] = {}
        values: dict[str, Any] = {
            "turns": self.turns,
            "in_turn": self.in_turn,
            "history": {p: len(self.history[p]) for p in self.names},
        }
        for name, player in self.players.items():
            mine, plain_values = player.state()
            tensors.update({f"{name}/{key}": value for key, value in mine.items()})
            values[name] = plain_values
        return tensors, values

    def load_state(self, tensors: dict[str, torch.Tensor], values: Mapping[str, Any]) -> None:
        for name in self.names:
            count = values["history"][name]
            self.history[name] = [
                load_bundle(self._history_folder(name, i)).policy for i in range(count)
            ]
        self._rebind_as_of(int(values["turns"]))
        self.in_turn = int(values["in_turn"])
        for name, player in self.players.items():
            prefix = f"{name}/"
            mine = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            player.load_state(mine, values[name])

    def _rebind_as_of(self, turns: int) -> None:
        """Both players are bound to the pool of their latest turn."""
        full = {p: list(members) for p, members in self.history.items()}
        for turn in (turns - 1, turns):
            if turn < 1:
                continue
            self.turns = turn
            ended = {p: (turn + 1 - i) // 2 for i, p in enumerate(self.names)}
            self.history = {p: full[p][: ended[p]] for p in self.names}
            self._bind(self.turn_of)
        self.history, self.turns = full, turns


def train(config: SelfPlayConfig, run: Run, *, resume: bool = False, quiet: bool = False) -> Path:
    """Train both players; returns the folder that holds one bundle per player."""
    selfplay = SelfPlay(config, run)
    result = train_loop(
        selfplay, run, config.steps, checkpoint_every=config.checkpoint_every, resume=resume,
        label="self-play (first player's wins)", quiet=quiet,
    )  # fmt: skip
    run.finish(result)
    return run.folder / "checkpoints" / "last"
