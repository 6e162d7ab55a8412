"""Arms: descriptions of robots that the manipulation tasks can use, and how a scene takes them in."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco

from robo_adv.assets import MJCF
from robo_adv.errors import DependencyError, RoboAdvError
from robo_adv.registry import Registry

ARMS: Registry[Callable[[], Arm]] = Registry("arm", "robo_adv.envs.manipulation")


@dataclass(frozen=True)
class Gripper:
    """A parallel gripper: one actuator of the file that opens it.

    Attributes:
        actuator: its name. joints: the finger joints (slides, 0 = closed).
        opening: joint value of the open gripper [m].
        stiffness, damping, force: of the position servo that replaces the file's gains
            [N/m], [N s/m], [N].
    """

    actuator: str
    joints: tuple[str, ...]
    opening: float
    stiffness: float = 2000.0
    damping: float = 100.0
    force: float = 70.0


@dataclass(frozen=True)
class Arm:
    """A robot arm as a file and the facts that the file does not hold.

    Attributes:
        file: MJCF; its root body is fixed to the table. joints: names of the driven hinges, base
            first. hand: body that carries the tool.
        tcp: tool centre point in the hand's frame [m]; `tool_axis` of that frame points down.
        home: joint angles [rad] of the start posture, tool pointing down.
        velocity_limits [rad/s], torque_limits [N m]: one per joint, as the maker publishes them.
        stiffness [N m/rad], damping [N m s/rad]: of the position servos that drive the joints; they
            replace the file's own actuators of these joints.
        gripper: or None. base: where the root body stands [m].
        moving_mass: mass of the moving parts [kg] for the energy model; None takes the file's.
    """

    file: Path
    joints: tuple[str, ...]
    hand: str
    tcp: tuple[float, float, float]
    home: tuple[float, ...]
    velocity_limits: tuple[float, ...]
    torque_limits: tuple[float, ...]
    stiffness: tuple[float, ...]
    damping: tuple[float, ...]
    gripper: Gripper | None = None
    base: tuple[float, float, float] = (0.0, 0.0, 0.0)
    moving_mass: float | None = None

    def __post_init__(self) -> None:
        for name in ("home", "velocity_limits", "torque_limits", "stiffness", "damping"):
            got = len(getattr(self, name))
            if got != len(self.joints):
                raise RoboAdvError(
                    f"arm {self.file.name}: {name} has {got} values for {len(self.joints)} joints"
                )

    def spec(self) -> mujoco.MjSpec:
        """The file with our servos in it.

        Raises:
            RoboAdvError: no such file, not MJCF, a joint, body or actuator that it lacks, or what
                makes compiling fail, such as a mesh that is not there.
        """
        if not self.file.is_file():
            raise RoboAdvError(f"arm file {self.file} does not exist")
        try:
            spec = mujoco.MjSpec.from_file(str(self.file))
        except ValueError as error:
            raise RoboAdvError(f"arm file {self.file} is not valid MJCF: {error}") from error
        self._check(spec)
        for key in list(spec.keys):
            spec.delete(key)
        for body in spec.bodies:
            body.gravcomp = 1.0  # the controllers of real arms carry their own weight
        self._drive_joints(spec)
        if self.gripper is not None:
            _drive_gripper(spec.actuator(self.gripper.actuator), self.gripper)
        try:
            spec.copy().compile()
        except ValueError as error:
            raise RoboAdvError(f"arm file {self.file} does not compile: {error}") from error
        return spec

    def _check(self, spec: mujoco.MjSpec) -> None:
        fingers = () if self.gripper is None else self.gripper.joints
        actuators = () if self.gripper is None else (self.gripper.actuator,)
        wanted = (
            ("joint", (*self.joints, *fingers), spec.joints),
            ("body", (self.hand,), spec.bodies),
            ("actuator", actuators, spec.actuators),
        )
        for kind, names, elements in wanted:
            known = [e.name for e in elements]
            for name in names:
                if name not in known:
                    raise RoboAdvError(
                        f"arm file {self.file} has no {kind} {name!r}; it has {', '.join(known)}"
                    )
        for name in self.joints:
            joint = spec.joint(name)
            if int(joint.limited) == 0 or joint.range[0] >= joint.range[1]:
                raise RoboAdvError(
                    f"arm file {self.file}: joint {name!r} has no range; give it one"
                )
        body = spec.body(self.hand)
        while body.name != "world":
            for joint in body.joints:
                if joint.name not in self.joints:
                    raise RoboAdvError(
                        f"arm file {self.file}: joint {joint.name!r} carries the hand and is not "
                        "driven; list it in Arm(joints=...), or remove it from the file"
                    )
            body = body.parent

    def _drive_joints(self, spec: mujoco.MjSpec) -> None:
        for actuator in list(spec.actuators):
            if actuator.target in self.joints:
                spec.delete(actuator)
        for i, name in enumerate(self.joints):
            joint = spec.joint(name)
            joint.actfrcrange = [-self.torque_limits[i], self.torque_limits[i]]
            joint.actfrclimited = True
            joint.actgravcomp = True  # the weight is carried by the motors, within their limits
            servo = spec.add_actuator(name=f"servo_{name}")
            servo.target, servo.trntype = name, mujoco.mjtTrn.mjTRN_JOINT
            # The file's defaults for actuators must not reach ours.
            servo.gear, servo.dyntype = [1.0, 0, 0, 0, 0, 0], mujoco.mjtDyn.mjDYN_NONE
            servo.ctrllimited = servo.actlimited = False
            servo.gaintype, servo.biastype = (
                mujoco.mjtGain.mjGAIN_FIXED, mujoco.mjtBias.mjBIAS_AFFINE,
            )  # fmt: skip
            servo.gainprm[0] = self.stiffness[i]
            servo.biasprm[:3] = [0.0, -self.stiffness[i], -self.damping[i]]
            # The joint's own range does not tell implicit integrators that a servo saturates: they
            # go on adding its damping to the inertia, and the joint hardly speeds up.
            servo.forcelimited, servo.forcerange = True, joint.actfrcrange


def _drive_gripper(actuator: Any, gripper: Gripper) -> None:
    actuator.ctrllimited, actuator.ctrlrange = True, [0.0, gripper.opening]
    actuator.gaintype, actuator.biastype = (
        mujoco.mjtGain.mjGAIN_FIXED, mujoco.mjtBias.mjBIAS_AFFINE,
    )  # fmt: skip
    actuator.gainprm[0] = gripper.stiffness
    actuator.biasprm[:3] = [0.0, -gripper.stiffness, -gripper.damping]
    actuator.forcelimited, actuator.forcerange = True, [-gripper.force, gripper.force]


_PANDA: dict[str, Any] = {
    "joints": tuple(f"joint{i}" for i in range(1, 8)),
    "hand": "hand",
    "tcp": (0.0, 0.0, 0.1034),
    "home": (0.0, -0.14, 0.0, -2.42, 0.0, 2.28, 0.785398),
    "velocity_limits": (2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61),
    "torque_limits": (87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0),
    # The Menagerie's, but for the wrist: its 2000 and 200 against inertias of 0.1 to 0.2 kg m^2 and
    # 12 N m make a saturated servo chatter at our timestep. All joints lag by the same 0.1 s.
    "stiffness": (4500.0, 4500.0, 3500.0, 3500.0, 600.0, 600.0, 600.0),
    "damping": (450.0, 450.0, 350.0, 350.0, 60.0, 60.0, 60.0),
    "gripper": Gripper("actuator8", ("finger_joint1", "finger_joint2"), 0.04),
}


@ARMS.register("panda")
def panda() -> Arm:
    """Franka Emika Panda out of primitives, with the published kinematics, limits and inertias."""
    return Arm(file=MJCF / "panda.xml", **_PANDA)


@ARMS.register("menagerie-panda")
def menagerie_panda() -> Arm:
    """The MuJoCo Menagerie's Franka Emika Panda with its meshes (extra `menagerie`).

    Raises:
        DependencyError: the extra is not installed, or it cannot fetch the model.
    """
    try:
        menagerie = importlib.import_module("mujoco_menagerie")
    except ImportError as error:
        raise DependencyError(
            "arm 'menagerie-panda' needs the extra: pip install 'robo-adv[menagerie]'"
        ) from error
    return Arm(file=_menagerie_file(menagerie, "franka_emika_panda", "panda.xml"), **_PANDA)


def _menagerie_file(menagerie: Any, model: str, file: str) -> Path:
    try:
        folder = Path(menagerie.get(model).path())
    except (menagerie.MenagerieError, OSError) as error:
        raise DependencyError(
            f"the Menagerie's {model} cannot be fetched ({error}); set MENAGERIE_ROOT to a copy of "
            "the repository, or use arm 'panda'"
        ) from error
    return folder / file


def find_arm(name: str) -> Arm:
    """A registered arm, or `module:attribute` that is an Arm or makes one.

    Raises:
        RoboAdvError: unknown name, or something that is not an Arm.
    """
    if ":" not in name:
        return ARMS[name]()
    module, _, attribute = name.partition(":")
    try:
        found: Any = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise RoboAdvError(f"cannot import arm {name!r}: {error}") from error
    found = found() if callable(found) else found
    if not isinstance(found, Arm):
        raise RoboAdvError(
            f"{name} gave {type(found).__name__}, expected a robo_adv.envs.manipulation.arms.Arm"
        )
    return found
