"""Replays: one episode as an artefact that plays again to the bit, without controller or attack.

A replay holds the scenario, the level, every player's actions, the external forces and what the
attack changed of the observations: JSON and plain arrays. It runs no code; it may name modules
that its world needs, which are imported only when the user says so.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from robo_adv.cards import Strict, read_json
from robo_adv.errors import RoboAdvError
from robo_adv.levels import Level
from robo_adv.policy import EpisodicPolicy, Policy, State
from robo_adv.rollout import Episodes, Limit, play
from robo_adv.runs import plain, versions, write_folder

if TYPE_CHECKING:
    from robo_adv.envs.episode import World

Array = npt.NDArray[Any]
CARD, TRACE = "replay.json", "replay.npz"
MAX_TRACE = 256 * 1024 * 1024  # [bytes]


class About(Strict):
    """replay.json.

    Attributes:
        game, options, imports: the world, and the modules that register it. success, unsafe,
            reference_return: how it was judged. controller, player: who is shown, whom it plays.
        scenario: its seed. level: the world's parameters, None for nominal ones.
        threat, budget, attack: under which the episode was played; `attack` is what a search found.
        digest: of everything the players were given to see, and of how it ended.
    """

    format: Literal["robo_adv.replay/1"] = "robo_adv.replay/1"
    game: str = Field(max_length=200)
    options: dict[str, Any] = Field(default_factory=dict)
    imports: tuple[str, ...] = ()
    success: str = ""
    unsafe: str = ""
    reference_return: float | None = None
    controller: str
    player: str
    scenario: int = Field(ge=0, lt=2**64)
    level: dict[str, float | int | str] | None = None
    threat: str
    budget: float = Field(ge=0.0, allow_inf_nan=False)
    attack: str = ""
    outcome: Literal["safe_success", "unsafe", "frozen"]
    digest: str = Field(pattern="^[0-9a-f]{64}$")
    versions: dict[str, str] = Field(default_factory=versions)


@dataclass(frozen=True)
class Replay:
    """One recorded episode of T steps.

    Attributes:
        actions: per player (T, a). forces: (T, nbody, 6) [N, N m], None when nothing pushed.
        shown: what the controller saw instead of the truth (T, d), None when that was the truth.
    """

    about: About
    actions: Mapping[str, Array]
    forces: Array | None = None
    shown: Array | None = None

    def __len__(self) -> int:
        return len(next(iter(self.actions.values())))

    def save(self, folder: Path) -> None:
        """Write the folder in one step."""
        arrays = {f"actions.{player}": value for player, value in self.actions.items()}
        if self.forces is not None:
            arrays["forces"] = self.forces
        if self.shown is not None:
            arrays["shown"] = self.shown

        def write(target: Path) -> None:
            np.savez_compressed(target / TRACE, **arrays)  # type: ignore[arg-type]
            text = self.about.model_dump_json(indent=1) + "\n"
            (target / CARD).write_text(text, encoding="utf-8")

        write_folder(folder, write)

    @staticmethod
    def load(folder: Path) -> Replay:
        """Read what `save` wrote.

        Raises:
            RoboAdvError: missing, cut short, too large, or of another format.
        """
        about = read_json(folder / CARD, About, "a replay's card")
        trace = folder / TRACE
        arrays = _arrays(trace)
        prefix = "actions."
        actions = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
        lengths = {value.shape[:1] for value in arrays.values()}
        numbers = all(np.issubdtype(value.dtype, np.number) for value in arrays.values())
        if not actions or not numbers or len(lengths) != 1 or lengths <= {(), (0,)}:
            raise RoboAdvError(f"{trace} holds no actions, or arrays of different lengths")
        return Replay(about, actions, arrays.get("forces"), arrays.get("shown"))


def _arrays(path: Path) -> dict[str, Array]:
    try:
        if path.stat().st_size > MAX_TRACE:
            raise RoboAdvError(f"{path} has more than {MAX_TRACE} bytes")
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except OSError as error:
        raise RoboAdvError(f"cannot read {path}: {error}") from error
    except (ValueError, zipfile.BadZipFile, KeyError, EOFError) as error:
        raise RoboAdvError(f"{path} is not a trace of plain arrays: {error}") from error


class Recorded:
    """A policy that notes what its first row does."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.actions: list[Array] = []
        if isinstance(policy, EpisodicPolicy):
            self.start = policy.start

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        action, state = self.policy.predict(observation, state, episode_start, deterministic)
        self.actions.append(np.array(action[0], dtype=np.float64))
        return action, state


class Playback:
    """A policy that does what was recorded (T, a), whatever it sees."""

    def __init__(self, actions: Array) -> None:
        self.actions = actions

    def start(self, seeds: Array, observation: Array) -> tuple[Array, ...]:
        return (np.zeros(len(seeds), dtype=np.int64),)

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        if state is None:
            state = self.start(np.zeros(len(observation)), observation)
        step = state[0]
        return self.actions[np.minimum(step, len(self.actions) - 1)], (step + 1,)


class _Witness:
    """Hashes what the players of row 0 are given to see."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()

    def see(self, observations: Mapping[str, Array]) -> None:
        for player in sorted(observations):
            self.hash.update(np.ascontiguousarray(observations[player][0]).tobytes())

    def end(self, episodes: Episodes) -> str:
        end = [int(episodes.winner[0]), int(episodes.length[0])]
        return hashlib.sha256(self.hash.digest() + json.dumps(end).encode()).hexdigest()


def replay(
    recording: Replay,
    world: World,
    limits: Mapping[str, Sequence[Limit]] | None = None,
    look: Callable[[int], None] | None = None,
) -> tuple[Episodes, str]:
    """Play a recording in a world of one row; the episode and its digest.

    It is the same to the bit when the digest is that of `recording.about`, which needs the same
    versions of MuJoCo and the same kind of machine.

    Args:
        look: called with the number of steps done before each step.

    Raises:
        RoboAdvError: the recording is of other players, action sizes, bodies or parameters.
    """
    sizes = {p: world.action_size(p) for p in world.players}
    given = {p: value.shape[1] for p, value in recording.actions.items() if value.ndim == 2}
    if sizes != given:
        raise RoboAdvError(f"the recording has actions {given}, this world wants {sizes}")
    forces = getattr(world, "forces", None)
    wanted = None if forces is None else forces.shape[1:]
    if recording.forces is not None and recording.forces.shape[1:] != wanted:
        raise RoboAdvError(
            f"the recording pushes bodies by forces of shape {recording.forces.shape[1:]}, this "
            f"world has {wanted}"
        )
    witness, step = _Witness(), 0

    def before(scenarios: Array, observations: Mapping[str, Array]) -> None:
        nonlocal step
        witness.see(observations)
        if look is not None and step < len(recording):
            look(step)
        if recording.forces is not None:
            forces[0] = recording.forces[min(step, len(recording) - 1)]  # type: ignore[index]
        step += 1

    values = recording.about.level
    levels = [world.design_space.level(values)] if values else None
    seeds = np.array([recording.about.scenario], dtype=np.uint64)
    policies: dict[str, Policy] = {p: Playback(a) for p, a in recording.actions.items()}
    try:
        episodes = play(world, policies, seeds, levels, disturb=before, limits=limits or {})
    finally:
        if recording.forces is not None:
            forces[:] = 0.0  # type: ignore[index]
    return episodes, witness.end(episodes)


def capture(
    world: World,
    policies: Mapping[str, Policy],
    seed: int,
    level: Level | None,
    about: Mapping[str, Any],
    *,
    player: str,
    push: Callable[[Array, Mapping[str, Array]], None] | None = None,
    limits: Mapping[str, Sequence[Limit]] | None = None,
) -> tuple[Replay, Episodes]:
    """Play one scenario in a world of one row and record it.

    Args:
        about: the fields of About that only the caller knows.
        push: what moves the world's forces before each step.
    """
    recorded = {p: Recorded(policy) for p, policy in policies.items()}
    witness, forces = _Witness(), []

    def before(scenarios: Array, observations: Mapping[str, Array]) -> None:
        witness.see(observations)
        if push is not None:
            push(scenarios, observations)
            forces.append(world.forces[0].copy())  # type: ignore[attr-defined]

    levels = None if level is None else [level]
    scenario = np.array([seed], dtype=np.uint64)
    episodes = play(world, recorded, scenario, levels, disturb=before, limits=limits or {})
    shown = getattr(policies[player], "shown", None)
    whole = About.model_validate({
        **about, "player": player, "scenario": int(seed), "digest": witness.end(episodes),
        "level": None if level is None else dict(plain(level.values)),
    })  # fmt: skip
    actions = {p: np.array(one.actions) for p, one in recorded.items()}
    return Replay(
        whole, actions, np.array(forces) if push is not None else None,
        None if shown is None else np.array(shown),
    ), episodes  # fmt: skip
