"""The Menagerie's Panda takes the place of the built-in one, and its absence is named."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manipulation.menagerie import MODEL, write_menagerie
from robo_adv.agents.scripted import SCRIPTED
from robo_adv.envs.game import GAMES, make_game
from robo_adv.envs.manipulation.arms import find_arm
from robo_adv.envs.manipulation.chain import Chain
from robo_adv.envs.manipulation.task import ManipulationTask
from robo_adv.envs.seat import Seat
from robo_adv.errors import DependencyError, RoboAdvError

NAME = "menagerie-panda"
TASKS = [name for name in GAMES if issubclass(GAMES[name], ManipulationTask)]
VARIABLES = ("MENAGERIE_ROOT", "MENAGERIE_CACHE_DIR", "MENAGERIE_BASE_URL")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in place of a copy of the Menagerie."""
    pytest.importorskip("mujoco_menagerie")
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MENAGERIE_ROOT", str(tmp_path))
    return tmp_path


@pytest.fixture
def menagerie(root: Path) -> Path:
    """The arm's file in a copy of the Menagerie."""
    return write_menagerie(root)


def test_the_arm_comes_from_the_copy_that_the_variable_names(menagerie: Path) -> None:
    arm = find_arm(NAME)
    assert arm.file == menagerie
    model = arm.spec().compile()
    assert model.nmesh == 1 and model.nkey == 0
    assert model.body("link1").mass[0] == pytest.approx(4.970684)


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_the_same_spaces_with_it(task: str, menagerie: Path) -> None:
    mine, theirs = (make_game(task, 2, threads=1, robot=name) for name in ("panda", NAME))
    assert theirs.model.nmesh == 1 and mine.model.nmesh == 0  # it is another robot
    seats = [Seat(game, "arm") for game in (mine, theirs)]
    assert seats[0].single_observation_space == seats[1].single_observation_space
    assert seats[0].single_action_space == seats[1].single_action_space
    assert mine.layouts["arm"].to_json() == theirs.layouts["arm"].to_json()
    assert mine.design_space == theirs.design_space
    starts = [game.reset(np.arange(2))["arm"] for game in (mine, theirs)]
    np.testing.assert_allclose(starts[0], starts[1], atol=1e-6)
    for game in (mine, theirs):
        assert np.isfinite(
            game.step({"arm": np.zeros((2, game.action_size("arm")))}).obs["arm"]
        ).all()


def test_its_integrator_and_timestep_do_not_reach_the_scene(menagerie: Path) -> None:
    mine, theirs = (make_game("Reach-v0", 1, threads=1, robot=name) for name in ("panda", NAME))
    for name in ("timestep", "integrator", "cone", "impratio", "gravity"):
        assert np.array_equal(getattr(theirs.model.opt, name), getattr(mine.model.opt, name)), name


def test_it_has_the_built_in_arms_kinematics_and_servos(menagerie: Path) -> None:
    mine, theirs = find_arm("panda"), find_arm(NAME)
    models = [arm.spec().compile() for arm in (mine, theirs)]
    q = np.random.default_rng(0).uniform(-1.5, 1.5, (20, 7))
    poses = [
        Chain(model, arm.joints, arm.hand, arm.tcp).poses(q)
        for model, arm in zip(models, (mine, theirs), strict=True)
    ]
    np.testing.assert_allclose(poses[0].position, poses[1].position, atol=1e-6)
    np.testing.assert_allclose(poses[0].rotation, poses[1].rotation, atol=1e-6)
    for name in [*(f"servo_{joint}" for joint in mine.joints), "actuator8"]:
        rows = [
            np.concatenate([a.gainprm[:3], a.biasprm[:3], a.forcerange, a.ctrlrange, a.gear])
            for a in (model.actuator(name) for model in models)
        ]
        np.testing.assert_array_equal(rows[0], rows[1], err_msg=name)


@pytest.mark.parametrize(
    ("task", "expert"), [("Reach-v0", "reach-expert"), ("PickAndPlace-v0", "pick-and-place-expert")]
)
def test_scripted_experts_solve_their_tasks_with_it(
    task: str, expert: str, menagerie: Path
) -> None:
    game: Any = make_game(task, 40, threads=1, robot=NAME)
    policy: Any = SCRIPTED[expert](game, "arm")
    obs, final = game.reset(np.arange(40)), None
    while final is None:
        step = game.step({"arm": policy.act(obs["arm"])})
        obs, final = step.obs, step.final
    assert len(final.winner) == 40
    assert (final.winner == 0).mean() >= 0.9


def test_a_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mujoco_menagerie", None)  # an import of it fails
    with pytest.raises(
        DependencyError, match=r"needs the extra: pip install 'robo-adv\[menagerie\]'"
    ):
        make_game("Reach-v0", 1, robot=NAME)


def test_a_copy_without_the_arm_is_named(root: Path) -> None:
    with pytest.raises(DependencyError, match=f"{MODEL}.*not found under MENAGERIE_ROOT"):
        make_game("Reach-v0", 1, robot=NAME)


def test_a_copy_whose_folder_lacks_the_file_is_named(menagerie: Path) -> None:
    menagerie.unlink()
    with pytest.raises(RoboAdvError, match=rf"{MODEL}/panda\.xml does not exist"):
        make_game("Reach-v0", 1, robot=NAME)


def test_a_copy_that_lacks_a_mesh_is_named(menagerie: Path) -> None:
    (menagerie.parent / "assets" / "base.obj").unlink()
    with pytest.raises(RoboAdvError, match=r"panda\.xml does not compile: .*base\.obj"):
        make_game("Reach-v0", 1, robot=NAME)


@pytest.mark.slow
def test_without_network_the_error_says_what_to_do(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens where the archive should come from; the package tries three times."""
    monkeypatch.delenv("MENAGERIE_ROOT")
    monkeypatch.setenv("MENAGERIE_CACHE_DIR", str(root / "cache"))
    with closed_port() as port:
        monkeypatch.setenv("MENAGERIE_BASE_URL", f"http://127.0.0.1:{port}")
        with pytest.raises(
            DependencyError, match=r"cannot be fetched .*refused.*MENAGERIE_ROOT.*'panda'"
        ):
            make_game("Reach-v0", 1, robot=NAME)


@contextmanager
def closed_port() -> Iterator[int]:
    """A port of this machine that is taken and refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])
