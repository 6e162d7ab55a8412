"""Design spaces of the games: rich, honest about what is observed, and unchanged without obstacles."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from robo_adv.envs.game import GAMES, Game, make_game
from robo_adv.envs.posts import MOST
from robo_adv.errors import RoboAdvError
from robo_adv.levels.feasible import margins, repair
from robo_adv.levels.space import Value

Array = npt.NDArray[Any]

WITH_OBSTACLES = ("Reach-v0", "Push-v0", "KickAndDefend-v0")
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in GAMES),
    *((name, {"obstacles": 2}) for name in WITH_OBSTACLES),
    ("Push-v0", {"obstacles": MOST}),
    ("KickAndDefend-v0", {"body": "ant", "obstacles": 2}),
]
every_variant = pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
# Before there were obstacles: hashes of the nominal levels, and sizes of the observations.
BEFORE = {
    "Reach-v0": ("50906ec52189", 34),
    "Push-v0": ("9ead76ec8fdc", 52),
    "KickAndDefend-v0": ("5cd6b80a0f2c", 33),
}
# Levels that break each constraint, by its name.
BROKEN: dict[str, dict[str, float]] = {
    "the cube fits into the open gripper": {"object_size": 1.3, "object_yaw": 1.0},
    "the ball starts on the pitch": {"ball_start_y": -0.6, "start_spread": 1.5},
    "the ball starts apart from the kicker": {"ball_start_x": -0.6, "start_spread": 1.5},
    "the ball fits through all gaps of obstacles": {
        "obstacle_count": 2, "obstacle0_x": 0.5, "obstacle0_y": 0.1, "obstacle1_x": 0.5,
        "obstacle1_y": -0.05,
    },
    "the arm starts clear of the obstacles": {
        "obstacle_count": 2, "obstacle1_x": 0.5, "obstacle1_y": 0.0, "obstacle1_height": 0.3,
    },
    "the cube fits through all but 2 gaps of obstacles": {
        "obstacle_count": 3, "obstacle0_x": 0.5, "obstacle0_y": 0.0, "obstacle1_x": 0.6,
        "obstacle1_y": 0.05, "obstacle2_x": 0.6, "obstacle2_y": -0.05,
    },
}  # fmt: skip


def games(name: str, options: dict[str, Any], n: int = 1) -> Game:
    return make_game(name, n, threads=1, **options)


@every_variant
def test_there_are_eight_parameters_or_more_with_units_and_roles(
    name: str, options: dict[str, Any]
) -> None:
    space = games(name, options).design_space
    assert len(space) >= 8
    assert all(p.unit for p in space)
    assert {p.role for p in space} >= {"task", "dynamics"}


@pytest.mark.parametrize("name", WITH_OBSTACLES)
def test_without_obstacles_levels_and_observations_are_what_they_were(name: str) -> None:
    game = games(name, {})
    digest, size = BEFORE[name]
    assert game.design_space.nominal.hash == digest
    assert game.layouts[game.players[0]].size == size
    assert "obstacle_force" not in game.costs and game.notes() == {}
    assert game.costs is type(game).costs


@pytest.mark.parametrize("name", WITH_OBSTACLES)
def test_obstacles_that_are_not_there_change_nothing(name: str) -> None:
    """Up to the new slices, which are 0, every number is the same, bit by bit."""
    plain, other = games(name, {}, 4), games(name, {"obstacles": 2}, 4)
    seen, more = plain.reset(range(4)), other.reset(range(4))
    rng = np.random.default_rng(0)
    for _ in range(20):
        for p in plain.players:
            layout = other.layouts[p]
            new = layout.index(["obstacle*"])
            old = np.setdiff1d(np.arange(layout.size), new)
            assert np.array_equal(seen[p], more[p][:, old])
            assert not more[p][:, new].any()
        action = {p: rng.uniform(-1, 1, (4, plain.action_size(p))) for p in plain.players}
        a, b = plain.step(action), other.step(action)
        seen, more = a.obs, b.obs
        for p in plain.players:
            assert np.array_equal(a.rewards[p], b.rewards[p])
            assert not b.costs[p].pop("obstacle_force").any()
            for cost in a.costs[p]:
                assert np.array_equal(a.costs[p][cost], b.costs[p][cost]), cost


# A parameter is observed if the first observation tells its value.


def told(values: Array, observations: Array) -> bool:
    """Whether `values` (n,) of a parameter are a linear function of observations (n, d), other
    parameters and seeds being random: fitted on most of them, checked on the rest."""
    fit, check = slice(0, -200), slice(-200, None)
    inputs = np.concatenate([observations, np.ones((len(values), 1))], axis=1).astype(np.float64)
    scale = np.maximum(inputs[fit].std(axis=0), 1e-6)
    weights = np.linalg.lstsq(inputs[fit] / scale, values[fit], rcond=1e-9)[0]
    error = np.abs(inputs[check] / scale @ weights - values[check]).max()
    return bool(error < 0.01 * np.ptp(values))


def told_apart(values: list[Value], observations: Array) -> bool:
    """Whether the options of a choice differ in numbers that are the same for all of one option."""
    groups = [
        observations[[v == option for v in values]] for option in sorted(set(map(str, values)))
    ]
    same = np.all([np.ptp(group, axis=0) == 0.0 for group in groups], axis=0)
    return len({group[0, same].tobytes() for group in groups}) == len(groups)


@every_variant
def test_observed_parameters_are_those_that_the_first_observation_tells(
    name: str, options: dict[str, Any]
) -> None:
    """Obstacles are judged where they all stand, noise and delays where there are none."""
    n = 1200
    game = games(name, options, n)
    space = game.design_space
    given: dict[str, Value] = {
        f"{p.slot}_count": space[f"{p.slot}_count"].high for p in space if p.slot
    }
    given |= {p.name: p.nominal for p in space if p.role == "interface"}
    free = space.freeze(given)
    levels = [space.level(free.decode(u).values) for u in free.sample(np.random.default_rng(0), n)]
    seen = game.reset(range(n), levels=levels)
    whole = np.concatenate([seen[p] for p in game.players], axis=1)
    for p in free:
        values = [level[p.name] for level in levels]
        if p.kind == "choice":
            found = told_apart(values, whole)
        else:
            found = told(np.array(values, dtype=np.float64), whole)
        assert found == p.observed, p.name


def test_the_count_of_obstacles_is_told() -> None:
    game = games("Reach-v0", {"obstacles": 3}, 4)
    levels = [game.design_space.level({"obstacle_count": k}) for k in range(4)]
    seen = game.reset(range(4), levels=levels)["arm"]
    flags = game.layouts["arm"].index([f"obstacle{i}_present" for i in range(3)])
    assert seen[:, flags].sum(axis=1).tolist() == [0.0, 1.0, 2.0, 3.0]


# Constraints.


@every_variant
def test_the_nominal_level_keeps_every_constraint_and_repair_finds_levels_that_do(
    name: str, options: dict[str, Any]
) -> None:
    space = games(name, options).design_space
    found = margins(space, space.nominal_point[None])
    assert all(margin[0] >= 0 for margin in found.values()), found
    points = space.sample(np.random.default_rng(1), 60)
    points = np.concatenate([points, points > 0.5])  # corners, too
    repaired = repair(space, points)
    assert all((m >= 0).all() for m in margins(space, repaired.points).values())


@every_variant
def test_every_constraint_can_be_broken(name: str, options: dict[str, Any]) -> None:
    space = games(name, options).design_space
    scale = 6.0 if options.get("body") == "ant" else 1.0
    for constraint in space.constraints:
        values = BROKEN[constraint.name]
        level = space.level(
            {k: v * scale if space[k].unit == "m" else v for k, v in values.items()}
        )
        point = space.encode(level)[None]
        assert margins(space, point)[constraint.name][0] < 0, constraint.name
        assert repair(space, point).broken[constraint.name] == 1
        assert set(constraint.parameters) <= set(space.names)


def test_every_broken_level_above_belongs_to_a_constraint() -> None:
    known = {c.name for v in VARIANTS for c in games(*v).design_space.constraints}
    assert known == set(BROKEN)


@pytest.mark.parametrize("count", [-1, 5, 1.5, True, "2"])
@pytest.mark.parametrize("name", WITH_OBSTACLES)
def test_an_impossible_number_of_obstacles_is_refused(name: str, count: Any) -> None:
    with pytest.raises(RoboAdvError, match=r"obstacles must be a whole number in 0\.\.4"):
        make_game(name, 1, threads=1, obstacles=count)


@pytest.mark.parametrize("body", ["omni", "ant"])
def test_what_mujoco_derives_from_masses_follows_them_and_costs_nothing_where_they_stay(
    body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    game = games("KickAndDefend-v0", {"body": body}, 4)
    asked: list[list[int]] = []
    space, ids = game.design_space, np.arange(4)
    set_const, rng = game.batch.set_const, np.random.default_rng(0)

    def counted(rows: Array) -> None:
        asked.append(rows.tolist())
        set_const(rows)

    monkeypatch.setattr(game.batch, "set_const", counted)
    first, second = ([space.decode(u) for u in space.sample(rng, 4)] for _ in range(2))
    kept = {name: first[3][name] for name in space.names if name.endswith("_mass")}
    second[3] = space.level({**second[3].values, **kept})
    game.reset(ids, levels=first)
    game.reset(ids, levels=[space.nominal, *second[1:]])
    assert asked == [[0, 1, 2, 3], [0, 1, 2]]
    derived = ("body_subtreemass", "body_invweight0", "dof_invweight0", "dof_M0", "actuator_acc0")

    def constants() -> list[Array]:
        models = [game.batch.get_model(i) for i in ids]
        return [getattr(model, name).copy() for model in models for name in derived]

    before = constants()
    set_const(ids)
    for one, other in zip(before, constants(), strict=True):
        assert np.array_equal(one, other)
