"""Controller: anyone's policy, checked against a world, with what can be known of it from inside.

CONTROLLER is a scripted policy, `zoo:<name>`, a bundle's folder, an ONNX file, `module:callable`, or,
with `trust`, a stable-baselines3 zip.
"""

from __future__ import annotations

import hashlib
import random
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from robo_adv import seeding
from robo_adv.agents.fitted import fitted_bundle
from robo_adv.agents.foreign import as_policy, import_object, made, samples
from robo_adv.agents.named import bundle_folder, check_fits, zoo_names
from robo_adv.agents.onnx_graph import onnx_access
from robo_adv.agents.onnx_policy import OnnxPolicy
from robo_adv.agents.published import SUFFIX, published
from robo_adv.agents.sb3_zip import LACKS_STATISTICS, TRUST, open_sb3
from robo_adv.agents.scripted import SCRIPTED
from robo_adv.agents.stateful import RECURRENT, Rowwise, keeps_state
from robo_adv.agents.white_box import check_access, given_access
from robo_adv.bundle import load_bundle, read_card
from robo_adv.envs.episode import World
from robo_adv.errors import BundleError, RoboAdvError, unknown
from robo_adv.policy import ROWS, EpisodicPolicy, Policy, State, predict_padded
from robo_adv.threats.access import Access

Array = npt.NDArray[Any]
NOT_FINITE = "Some of its actions are not finite numbers; such an episode counts as failed."
SEEDED = "It acts at random; its random numbers are seeded per episode and step."
UNSEEDED = (
    "It acts differently on equal observations and cannot be seeded, so scenarios do not repeat."
)
NOT_COMPARED = "What it says by `mean` was not compared with what it does, as it acts at random."
BLACK_BOX = "It is a black box: attacks that need gradients cannot be tried."


@dataclass(frozen=True)
class Controller:
    """A policy that fits a world.

    Attributes:
        name: what the user called it. kind: scripted, bundle, onnx, sb3, published or callable.
        access: what is known of it from inside.
        deterministic: whether it acts alike on equal observations.
        reproducible: whether an episode is the same when it is played again; random controllers are
            made so by seeding their random numbers per episode and step, where that works.
        notes: what a report must say of it, in sentences. digest: sha256 of its file; '' without one.
    """

    name: str
    kind: str
    policy: Policy
    access: Access
    deterministic: bool
    reproducible: bool
    notes: tuple[str, ...] = ()
    digest: str = ""

    @property
    def black_box(self) -> bool:
        """Whether no gradient of its actions can be had."""
        return self.access.mean is None


def controller(
    name: str,
    world: World,
    player: str,
    *,
    trust: bool = False,
    statistics: Path | None = None,
) -> Controller:
    """The controller that a name means, tried on made-up observations.

    Args:
        trust: whether a zip, which can run code, may be opened. statistics: VecNormalize's file of it.

    Raises:
        RoboAdvError: no such controller, or one that does not fit the world.
    """
    folder = None if Path(name).is_file() else bundle_folder(name)
    if folder is not None and (card := read_card(folder)).game != world.id:
        raise BundleError(f"{name} was made for {card.player!r} in {card.game}, not for {world.id}")
    if player not in world.players:
        raise unknown(f"player of {world.id}", player, world.players)
    if statistics is not None and not name.endswith(".zip"):
        raise RoboAdvError(f"VecNormalize statistics belong to a zip, got the controller {name!r}")
    kind, policy, access, note = _find(name, world, player, trust, statistics)
    found = _examined(name, kind, policy, access, note, world, player)
    return replace(found, digest=_digest(name, folder))


def _find(
    name: str, world: World, player: str, trust: bool, statistics: Path | None
) -> tuple[str, Policy, Access, str]:
    """Its kind, the policy, access to it, and a sentence about the access."""
    path, game = Path(name), world
    if name in SCRIPTED:
        return "scripted", SCRIPTED[name](game, player), Access(), ""  # type: ignore[arg-type]
    if path.suffix.lower() in (".onnx", ".zip", SUFFIX) and not path.is_file():
        raise RoboAdvError(f"there is no file {name}")
    if path.suffix.lower() == ".onnx":
        file = OnnxPolicy(path, world.layouts[player].size, world.action_size(player))
        return "onnx", file, *onnx_access(file, world, player)
    if path.suffix.lower() == ".zip":
        if not trust:
            raise RoboAdvError(f"{name} is not opened without --trust: {TRUST}")
        model, access = open_sb3(path, statistics)
        _check_spaces(model.model, name, world, player)
        note = LACKS_STATISTICS if model.lacks_statistics else ""
        return "sb3", as_policy(model, name, world, player), access, note
    if path.suffix.lower() == SUFFIX:
        return "published", *published(path, world, player)
    folder = bundle_folder(name)
    if folder is not None:
        bundle = load_bundle(folder)
        check_fits(bundle.card, game, player, name)  # type: ignore[arg-type]
        return "bundle", *fitted_bundle(bundle.policy, world, player), ""
    if ":" in name:
        given = made(import_object(name), name, world, player)
        policy = as_policy(given, name, world, player)
        return "callable", policy, *given_access(given, name, world.layouts[player].size)
    raise unknown(
        "controller", name, [*SCRIPTED, *(f"zoo:{z}" for z in zoo_names())],
        hint="or a bundle's folder, FILE.onnx, FILE.model, module:callable, or FILE.zip with --trust",
    )  # fmt: skip


def _digest(name: str, folder: Path | None) -> str:
    """Of the bundle's weights, the file, or the module's source."""
    if folder is not None:
        return read_card(folder).sha256
    module = sys.modules.get(name.partition(":")[0])
    path = Path(getattr(module, "__file__", None) or "") if ":" in name else Path(name)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _check_spaces(model: Any, name: str, world: World, player: str) -> None:
    """Raises RoboAdvError unless a model's flat spaces are the world's."""
    pairs = (
        ("observations", model.observation_space, world.observation_space(player)),
        ("actions", model.action_space, world.action_space(player)),
    )
    for what, own, given in pairs:
        if own.shape is not None and own.shape != given.shape:
            raise RoboAdvError(
                f"{name} was made for {what} of shape {own.shape}; {world.id} has {given.shape}"
            )


def _examined(
    name: str, kind: str, policy: Policy, access: Access, note: str, world: World, player: str
) -> Controller:
    seen, wanted = samples(world, player), world.action_size(player)
    if kind in ("callable", "onnx", "sb3"):
        policy = Guarded(policy, name)
    first = _try(name, policy, seen)
    recurrent = keeps_state(policy, seen)
    if recurrent:
        policy = Rowwise(policy, seen)
        if access.recall is None:
            access, note = Access(normaliser=access.normaliser), RECURRENT
    if first.shape != (len(seen), wanted):
        raise RoboAdvError(
            f"{name} gave actions of shape {first.shape} for observations {seen.shape}, expected "
            f"({len(seen)}, {wanted}) in {world.id}"
        )
    notes = [note] if note else []
    if not np.isfinite(first).all():
        notes.append(NOT_FINITE)
    deterministic = _repeats(name, policy, seen, first)
    if kind == "callable" and access.mean is not None:
        if deterministic:
            check_access(name, policy, access, world, player)
        else:
            notes.append(NOT_COMPARED)
    reproducible = deterministic
    if not deterministic:
        seeded = Reseeded(policy)
        reproducible = _stateless(policy) and _repeats(name, seeded, seen, _try(name, seeded, seen))
        policy = seeded if reproducible else policy
        notes.append(SEEDED if reproducible else UNSEEDED)
    if access.mean is None and note != RECURRENT:
        notes.append(BLACK_BOX)
    return Controller(name, kind, policy, access, deterministic, reproducible, tuple(notes))


def _stateless(policy: Policy) -> bool:
    return not isinstance(policy, EpisodicPolicy)


def _try(name: str, policy: Policy, seen: Array) -> Array:
    seeds = np.arange(len(seen), dtype=np.uint64)
    state = policy.start(seeds, seen) if isinstance(policy, EpisodicPolicy) else None
    try:
        action, _ = predict_padded(policy, seen.copy(), state, np.ones(len(seen), bool), True)
        action = np.asarray(action)
        if action.dtype.kind not in "fiub":
            raise RoboAdvError(f"{name} gave actions of type {action.dtype}, expected real numbers")
        return action.astype(np.float64)
    except RoboAdvError:
        raise
    except (Exception, SystemExit) as error:  # the controller is the user's own code
        raise RoboAdvError(
            f"{name} fails on observations of shape {(ROWS, *seen.shape[1:])}, dtype {seen.dtype}: "
            f"{type(error).__name__}: {error}"
        ) from error


def _repeats(name: str, policy: Policy, seen: Array, first: Array) -> bool:
    """Whether it acts alike again, twice."""
    return all(np.array_equal(_try(name, policy, seen), first, equal_nan=True) for _ in range(2))


class Guarded:
    """A controller of the user's, which may fail at any time."""

    def __init__(self, policy: Policy, name: str) -> None:
        self.policy, self.name = policy, name
        if isinstance(policy, EpisodicPolicy):
            self.start = policy.start

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        try:
            return self.policy.predict(observation, state, episode_start, deterministic)
        except RoboAdvError:
            raise
        except (Exception, SystemExit) as error:
            raise RoboAdvError(
                f"{self.name} fails on observations of shape {observation.shape}, dtype "
                f"{observation.dtype}: {type(error).__name__}: {error}"
            ) from error


class Reseeded:
    """A controller that draws from the global generators of random, NumPy or torch: these are seeded
    for each row from its episode's seed and step, so an episode does not depend on its neighbours.

    The generators are put back afterwards. It costs one call per row.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def start(self, seeds: seeding.Seeds, observation: Array) -> tuple[Array, ...]:
        return seeds, np.zeros(len(seeds), dtype=np.uint64)

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        if state is None:
            state = self.start(np.arange(len(observation), dtype=np.uint64), observation)
        seeds, step = state
        draws = seeding.derive(seeds, seeding.ACTION, step) >> np.uint64(32)
        starts = np.zeros(len(observation), bool) if episode_start is None else episode_start
        kept = random.getstate(), np.random.get_state(), torch.get_rng_state()
        try:
            actions: list[Array] = []
            for i, seed in enumerate(draws):
                if i and seed == draws[i - 1]:  # a copy that fills up the batch
                    actions.append(actions[-1])
                    continue
                random.seed(int(seed))
                np.random.seed(int(seed))
                torch.manual_seed(int(seed))
                row = slice(i, i + 1)
                found, _ = self.policy.predict(observation[row], None, starts[row], deterministic)
                actions.append(np.asarray(found)[0])
        finally:
            random.setstate(kept[0])
            np.random.set_state(kept[1])
            torch.set_rng_state(kept[2])
        return np.array(actions), (seeds, step + np.uint64(1))
