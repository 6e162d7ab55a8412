"""Every attack keeps to its budget, reaches the controller or the simulator, and is reproducible."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from threats.cases.judging import Judging

from robo_adv.agents.controllers import controller
from robo_adv.audit.engine import Engine, Found, Subject
from robo_adv.audit.plan import BUDGETS, Row, plan
from robo_adv.audit.reference import REFERENCE, measure
from robo_adv.envs.game import Game, make_game
from robo_adv.errors import RoboAdvError
from robo_adv.policy import State
from robo_adv.rollout import Episodes, scenarios
from robo_adv.safety.criteria import make_criterion
from robo_adv.threats.attack import ATTACKS, Blow, LevelAttack, Perturbation, Push, PushView, View
from robo_adv.threats.attacked import Attacked
from robo_adv.threats.attacks.noise import Uniform
from robo_adv.threats.attacks.pushes import RandomPush
from robo_adv.threats.learned import LearnedAttack
from robo_adv.threats.threat import Threat

Array = npt.NDArray[Any]
NAME, PLAYER, EPISODES = "zoo:reach-panda-s1", "arm", 6
SEEDS = scenarios(77, EPISODES)
PERTURBATIONS = [name for name in ATTACKS if issubclass(ATTACKS[name], Perturbation)]
SEEN = [name for name in PERTURBATIONS if ATTACKS[name].port == "observation"]
# q-critic needs a critic of actions, which an actor-critic has not.
RUNNABLE = [name for name in PERTURBATIONS if "q" not in ATTACKS[name].needs]


def engine(num_envs: int = EPISODES, seeds: Array = SEEDS) -> Engine:
    game = make_game("Reach-v0", num_envs, threads=1)
    found = controller(NAME, game, PLAYER)
    subject = Subject(
        NAME, PLAYER, found.policy, game, make_criterion(game, PLAYER), access=found.access,
        bodies=game.pushable(PLAYER),
    )  # fmt: skip
    out = Engine(subject, reference(), seeds, search=2)
    out.trainer = _trained
    return out


def _trained(this: Engine, row: Row, attack: LearnedAttack) -> Found:
    return Found(with_brain(this, attack))


class Signs:
    """Stands for a trained attacker's policy: a corner that depends on what it sees."""

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        waves = np.random.default_rng(0).normal(size=(observation.shape[1], 64))
        return np.where(np.sin(9.0 * observation @ waves) < 0, -1.0, 1.0)[:, : self.size], None

    size = 64


def made(this: Engine, name: str) -> Perturbation:
    """An attack, with somebody behind it if it learns."""
    attack = ATTACKS[name]()
    if isinstance(attack, LearnedAttack):
        attack = with_brain(this, attack)
    assert isinstance(attack, Perturbation)
    return attack


def with_brain(this: Engine, attack: LearnedAttack) -> LearnedAttack:
    world, brain = this.subject.world, Signs()
    actions = world.action_size(PLAYER)
    entries = actions if attack.port == "action" else world.layouts[PLAYER].size
    brain.size = attack.outputs(entries, actions, len(this.subject.bodies))
    return attack.held(brain)


@cache
def reference() -> Any:
    game = make_game("Reach-v0", 20, threads=1)
    policy = controller(NAME, game, PLAYER).policy
    return measure(NAME, game, PLAYER, {PLAYER: policy}, scenarios(REFERENCE, 20))[0]


@cache
def shared() -> Engine:
    return engine()


@cache
def clean() -> Episodes:
    return shared().play().episodes


def row(name: str, **changes: Any) -> Row:
    kind: Any = ATTACKS[name]
    few = {"data": 800} if "data" in kind.__dataclass_fields__ else {}
    threat = Threat(kind.port, 0.0, kind.norm, **changes)
    return Row(name, threat, BUDGETS[kind.port, kind.norm], few)


def middle(name: str) -> float:
    return BUDGETS[ATTACKS[name].port, ATTACKS[name].norm][2]


def same(a: Episodes, b: Episodes) -> bool:
    """Whether episodes are equal to the bit."""
    equal = [np.array_equal(a.returns[PLAYER], b.returns[PLAYER])]
    equal += [np.array_equal(a.winner, b.winner), np.array_equal(a.length, b.length)]
    equal += [np.array_equal(a.costs[PLAYER][c], b.costs[PLAYER][c]) for c in a.costs[PLAYER]]
    return all(equal)


@pytest.mark.parametrize("name", [n for n in RUNNABLE if n != "none"])
def test_every_attack_reaches_the_controller_or_the_simulator(name: str) -> None:
    played = shared().play(row(name), row(name).budgets[-1]).episodes
    changed = played.returns[PLAYER] != clean().returns[PLAYER]
    assert changed.mean() > 0.8, f"{name} is a dead knob"


@pytest.mark.parametrize("name", [n for n in RUNNABLE if ATTACKS[n].norm != "steps"])
def test_a_zero_budget_equals_no_threat_to_the_bit(name: str) -> None:
    this = shared()
    kind = ATTACKS[name]
    setting = this.setting(Threat(kind.port, 0.0, kind.norm), [made(this, name)])
    assert same(this.episodes(setting, SEEDS), clean())


@pytest.mark.parametrize("name", ["corner", "pgd", "dropout", "delay", "action-uniform", "pr-mdp"])
def test_an_episode_does_not_depend_on_the_batch_it_is_played_in(name: str) -> None:
    together = shared().play(row(name), middle(name)).episodes
    one = engine(1, SEEDS[3:4]).play(row(name), middle(name)).episodes
    assert one.returns[PLAYER][0] == together.returns[PLAYER][3]


@dataclass(frozen=True)
class Overdrawn(Uniform):
    """A mutant: asks for three times what it may have."""

    def propose(self, view: View) -> Array:
        return np.asarray(view.clean + 3.0 * view.radius)


def test_an_attack_that_overshoots_its_budget_is_clipped_and_reported() -> None:
    this, threat = shared(), Threat("observation", 0.2)
    seen: list[Array] = []
    attacked = this.attacked(threat, Overdrawn())
    spy = _Spy(this.subject.policy, seen)
    attacked.policy = spy
    obs = this.subject.world.reset(SEEDS)[PLAYER]
    attacked.predict(obs, None, None, True)
    moved = np.abs(seen[0] - obs) / np.maximum(this.scale(threat), 1e-12)
    assert moved[:, this.scale(threat) > 0].max() < 0.2 * (1 + 1e-3)
    assert attacked.excess == pytest.approx(3.0, rel=1e-3)


class _Spy:
    """Keeps what the controller was shown."""

    def __init__(self, policy: Any, seen: list[Array]) -> None:
        self.policy, self.seen = policy, seen

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        self.seen.append(observation.copy())
        action, _ = self.policy.predict(observation, None, episode_start, deterministic)
        return action, None


@pytest.mark.parametrize("name", [n for n in SEEN if n in RUNNABLE and ATTACKS[n].norm == "linf"])
def test_what_is_shown_stays_in_the_ball_and_in_the_slices(name: str) -> None:
    this = shared()
    threat = replace(row(name).threat, slices=("joint_*",)).at(0.5)
    seen: list[Array] = []
    attacked = this.attacked(threat, made(this, name))
    attacked.policy = _Spy(this.subject.policy, seen)
    obs = this.subject.world.reset(SEEDS)[PLAYER]
    attacked.predict(obs, None, None, True)
    shown = seen[-1]  # what comes before it are questions that an attack asks
    game: Any = this.subject.world
    inside = np.zeros(obs.shape[1], bool)
    inside[game.layouts[PLAYER].index(["joint_*"])] = True
    bound = 0.5 * np.array(this.reference.std)
    assert (np.abs(shown - obs) <= bound + 1e-6)[:, inside].all()
    assert np.array_equal(shown[:, ~inside], obs[:, ~inside])
    if name != "none":
        assert (shown != obs)[:, inside].any()


def test_stronger_knowledge_moves_the_action_further() -> None:
    """uniform < corner < FGSM <= PGD in the shift of the action (facts: the ladder's order)."""
    this = shared()
    obs = this.subject.world.reset(SEEDS)[PLAYER]
    plain, _ = this.subject.policy.predict(obs, None, None, True)
    shift = {}
    for name in ("uniform", "corner", "fgsm", "pgd"):
        attack = ATTACKS[name]()
        assert isinstance(attack, Perturbation)
        moved, _ = this.attacked(Threat("observation", 0.1), attack).predict(obs, None, None, True)
        shift[name] = float(np.abs(moved - plain).mean())
    assert shift["uniform"] < shift["corner"] < shift["fgsm"] <= 1.02 * shift["pgd"]


class _Idle:
    """Does nothing; keeps what it was shown."""

    def __init__(self) -> None:
        self.seen: list[Array] = []

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        self.seen.append(observation.copy())
        return np.zeros((len(observation), 2)), None


def test_a_delay_shows_what_was_there_that_many_steps_ago() -> None:
    idle, attack = _Idle(), ATTACKS["delay"]()
    assert isinstance(attack, Perturbation)
    attacked = Attacked(idle, Threat("observation", 3.0, "steps"), attack, np.ones(4))
    truth = [np.full((2, 4), float(t), np.float32) for t in range(8)]
    state: State = attacked.start(np.arange(2, dtype=np.uint64), truth[0])
    for now in truth:
        _, state = attacked.predict(now, state, None, True)
    assert [float(x[0, 0]) for x in idle.seen] == [0, 0, 0, 0, 1, 2, 3, 4]


def test_black_boxes_refuse_attacks_that_look_inside() -> None:
    this = shared()
    blind = Engine(replace(this.subject, access=None), reference(), SEEDS)
    assert "needs mean" in blind.why_not(row("pgd"))
    assert blind.why_not(row("corner")) == ""
    with pytest.raises(RoboAdvError, match="black box"):
        blind.play(row("pgd"), 0.1)


@pytest.mark.parametrize("name", [n for n in ATTACKS if issubclass(ATTACKS[n], Push)])
def test_pushes_move_the_robot_and_stop_with_the_cell(name: str) -> None:
    this = engine()
    played = this.play(row(name), 0.5)
    assert (played.episodes.returns[PLAYER] != clean().returns[PLAYER]).mean() > 0.5
    game: Any = this.subject.world
    assert not game.forces.any()
    assert same(this.play().episodes, clean())


@pytest.mark.parametrize("name", [n for n in ATTACKS if issubclass(ATTACKS[n], LevelAttack)])
def test_level_searches_keep_to_their_share_of_the_range(name: str) -> None:
    this = engine()
    kind: Any = ATTACKS[name]
    attack: LevelAttack = kind(size=len(this.subject.world.design_space))
    tried: list[Array] = []

    def judge(attacks: Any) -> Array:
        tried.extend(np.array(a.point) for a in attacks)
        return np.array([np.sum(a.point) for a in attacks])

    found = attack.search(Judging(judge))
    assert isinstance(found, LevelAttack)
    assert np.abs(tried).max() <= 1.0
    assert np.sum(found.point) == pytest.approx(max(np.sum(point) for point in tried))


def test_a_grid_tries_both_ends_of_every_range() -> None:
    """Open grids never test the upper end (a fault of published code)."""
    space = make_game("Reach-v0", 1, threads=1).design_space
    for k, parameter in enumerate(space):
        for share, end in ((-1.0, parameter.low), (1.0, parameter.high)):
            level = space.around(share * np.eye(len(space))[k])
            assert float(level[parameter.name]) == pytest.approx(end)
            others = [p for p in space if p.name != parameter.name]
            assert all(level[p.name] == p.nominal for p in others)


def test_the_worst_of_a_search_is_chosen_on_other_scenarios_than_those_reported() -> None:
    this = engine()
    assert not set(this.search_seeds.tolist()) & set(SEEDS.tolist())
    rows = plan(["force"], attacks=["worst-push"])
    played = this.play(replace(rows[0], parameters={"angles": 2, "times": (0.2,)}), 0.5)
    assert played.setting.found is not None
    assert played.setting.found.episodes == 2 * len(this.search_seeds)


def test_forces_reach_every_game() -> None:
    for name in ("KickAndDefend-v0", "Push-v0"):
        game: Game = make_game(name, 2, threads=1)
        bodies = game.pushable(game.players[0])
        assert all(
            body in [game.model.body(i).name for i in range(game.model.nbody)] for body in bodies
        )


def test_the_worst_push_hits_as_often_and_as_long_as_a_random_one() -> None:
    """Else a grid of single pushes would look weaker than chance."""
    seeds, times = np.arange(40, dtype=np.uint64), np.arange(0.0, 10.0, 0.02)
    shares = []
    for push in (RandomPush(), Blow(angle=1.0, start=0.5)):
        on = [
            np.linalg.norm(
                push.force(
                    PushView(seeds, np.full(40, t), 1, np.zeros((40, 1)), np.zeros((40, 0)))
                ),
                axis=2,
            )
            > 0
            for t in times
        ]
        shares.append(np.mean(on))
    assert shares[0] == pytest.approx(0.2, abs=0.01) == shares[1]
