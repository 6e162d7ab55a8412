"""A user's own arm: the page's example works as printed, and mistakes are named."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robo_adv.agents.scripted import SCRIPTED
from robo_adv.envs.game import make_game
from robo_adv.envs.manipulation import arms
from robo_adv.envs.manipulation.arms import Arm, find_arm
from robo_adv.envs.manipulation.reach_check import check_arm
from robo_adv.errors import RoboAdvError

TEXT = (Path(__file__).parents[2] / "docs" / "own-robot.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    return str(found)


@pytest.fixture
def arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Arm:
    """The page's arm, importable as `my_arm:ARM`."""
    (tmp_path / "my_arm.xml").write_text(block("xml"), encoding="utf-8")
    (tmp_path / "my_arm.py").write_text(block("python"), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "my_arm", raising=False)
    return find_arm("my_arm:ARM")


def test_the_example_of_the_page_reaches(arm: Arm) -> None:
    assert len(arm.joints) == 6
    game: Any = make_game("Reach-v0", 8, threads=1, robot="my_arm:ARM")
    check_arm(arm, game.controller.drive, 0.02)
    expert: Any = SCRIPTED["reach-expert"](game, "arm")
    obs, final = game.reset(np.arange(8)), None
    while final is None:
        step = game.step({"arm": expert.act(obs["arm"])})
        obs, final = step.obs, step.final
    assert (final.winner == 0).all()


def test_corners_out_of_reach_are_listed(arm: Arm) -> None:
    game: Any = make_game("Reach-v0", 1, threads=1, robot="my_arm:ARM")
    far = np.array([[0.3, -0.3, 0.012], [1.4, 0.3, 0.3]])
    with pytest.raises(RoboAdvError, match=r"cannot reach 4 of the 8 corners.*1\.4.*missed by"):
        check_arm(arm, replace(game.controller.drive, workspace=far), 0.02)


def test_a_tool_that_does_not_point_down_at_home_is_refused(arm: Arm) -> None:
    game: Any = make_game("Reach-v0", 1, threads=1, robot="my_arm:ARM")
    with pytest.raises(RoboAdvError, match="points along"):
        check_arm(replace(arm, tcp=(0.1, 0.0, 0.0)), game.controller.drive, 0.02)


def test_an_arm_without_gripper_is_refused_where_one_is_needed(arm: Arm) -> None:
    with pytest.raises(RoboAdvError, match="needs a gripper"):
        make_game("PickAndPlace-v0", 1, robot="my_arm:ARM")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"joints": ("pan", "lift", "elbow", "bend", "sway", "rol")}, "has no joint 'rol'"),
        ({"hand": "flang"}, "has no body 'flang'"),
        ({"gripper": arms.Gripper("jaw", (), 0.04)}, "has no actuator 'jaw'"),
        ({"file": Path("nowhere.xml")}, "does not exist"),
    ],
)
def test_names_that_the_file_lacks_are_refused(
    arm: Arm, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(RoboAdvError, match=message):
        replace(arm, **change).spec()


def test_a_list_of_another_length_is_refused(arm: Arm) -> None:
    with pytest.raises(RoboAdvError, match="home has 5 values for 6 joints"):
        replace(arm, home=arm.home[:5])


def test_a_file_that_is_not_mjcf_is_refused(arm: Arm) -> None:
    arm.file.write_text("<robot/> of another kind", encoding="utf-8")
    with pytest.raises(RoboAdvError, match="not valid MJCF"):
        arm.spec()


def test_a_joint_without_range_is_refused(arm: Arm) -> None:
    text = arm.file.read_text(encoding="utf-8")
    arm.file.write_text(text.replace('<joint name="roll"', '<joint limited="false" name="roll"'))
    with pytest.raises(RoboAdvError, match="joint 'roll' has no range"):
        arm.spec()


def test_a_joint_that_is_not_listed_is_refused(arm: Arm) -> None:
    lists = ("joints", "home", "velocity_limits", "torque_limits", "stiffness", "damping")
    short: dict[str, Any] = {name: getattr(arm, name)[:-1] for name in lists}
    with pytest.raises(RoboAdvError, match="joint 'roll' carries the hand and is not driven"):
        replace(arm, **short).spec()


def test_the_files_defaults_for_actuators_do_not_reach_the_servos(arm: Arm) -> None:
    text = arm.file.read_text(encoding="utf-8")
    default = '<default> <general gear="50" ctrlrange="-1 1" ctrllimited="true"/>'
    arm.file.write_text(text.replace("<default>", default), encoding="utf-8")
    model = arm.spec().compile()
    assert model.actuator_gear[:, 0].tolist() == [1.0] * 6
    assert not model.actuator_ctrllimited.any()


@pytest.mark.parametrize("name", ["no_such_module:ARM", "my_arm:NOTHING", "my_arm:Path"])
def test_what_is_not_an_arm_is_refused(arm: Arm, name: str) -> None:
    with pytest.raises(RoboAdvError, match=r"cannot import arm|expected a .*Arm"):
        find_arm(name)


def test_an_unknown_arm_or_control_mode_names_close_matches() -> None:
    with pytest.raises(RoboAdvError, match="did you mean 'panda'"):
        find_arm("pandas")
    with pytest.raises(RoboAdvError, match="did you mean 'ee_delta'"):
        make_game("Reach-v0", 1, control="ee_delt")
