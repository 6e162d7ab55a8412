"""A folder laid out like the MuJoCo Menagerie's, with a Panda out of primitives in it.

The file has the names, the kinematics and the peculiarities of the Menagerie's `panda.xml`: defaults in
defaults, its own integrator, `general` actuators, a gripper driven by a tendon from 0 to 255, a home
keyframe, a mesh from a folder of its own, collision shapes without names.
"""

from __future__ import annotations

from pathlib import Path

MODEL = "franka_emika_panda"
# Per link: its place in the one before [m], its turn, the range of its joint [rad], and a capsule.
LINKS = (
    ("0 0 0.333", "1 0 0 0", "-2.8973 2.8973", "0 0 -0.2 0 0 -0.06", 0.055),
    ("0 0 0", "1 -1 0 0", "-1.7628 1.7628", "0 0 -0.05 0 0 0.05", 0.055),
    ("0 -0.316 0", "1 1 0 0", "-2.8973 2.8973", "0 0 -0.2 0 0 -0.08", 0.055),
    ("0.0825 0 0", "1 1 0 0", "-3.0718 -0.0698", "0 0 -0.05 0 0 0.05", 0.055),
    ("-0.0825 0.384 0", "1 -1 0 0", "-2.8973 2.8973", "0 0.05 -0.26 0 0.05 -0.12", 0.03),
    ("0 0 0", "1 1 0 0", "-0.0175 3.7525", "0 0 -0.06 0 0 0", 0.045),
    ("0.088 0 0", "1 1 0 0", "-2.8973 2.8973", "0 0 -0.03 0 0 0.05", 0.035),
)
MASSES = (4.970684, 0.646926, 3.228604, 3.587895, 1.225946, 1.666555, 0.735522)  # [kg]
GAINS = (4500, 4500, 3500, 3500, 2000, 2000, 2000)  # [N m/rad]
FINGER = """
<body name="{side}_finger" pos="0 0 0.0584" quat="{turn}">
  <inertial mass="0.015" pos="0 0 0" diaginertia="2.4e-6 2.4e-6 7.5e-7"/>
  <joint name="{joint}" class="finger"/>
  <geom class="collision" type="box" size="0.009 0.007 0.018" pos="0 0.012 0.018"/>
  <geom class="pad"/>
</body>"""
HAND = """
<body name="link8" pos="0 0 0.107">
  <body name="hand" quat="0.9238795 0 0 -0.3826834">
    <inertial mass="0.73" pos="-0.01 0 0.03" diaginertia="0.001 0.0025 0.0017"/>
    <geom class="collision" type="box" size="0.03 0.1 0.03" pos="0 0 0.033"/>
    {fingers}
  </body>
</body>"""
FILE = """<mujoco model="panda">
  <compiler angle="radian" meshdir="assets" autolimits="true"/>
  <option integrator="implicit" timestep="0.001"/>
  <default>
    <default class="panda">
      <joint armature="0.1" damping="1" axis="0 0 1" range="-2.8973 2.8973"/>
      <general dyntype="none" biastype="affine" ctrlrange="-2.8973 2.8973" forcerange="-87 87"/>
      <default class="finger"> <joint axis="0 1 0" type="slide" range="0 0.04"/> </default>
      <default class="collision">
        <geom group="3"/>
        <default class="pad">
          <geom type="box" size="0.0085 0.004 0.0085" pos="0 0.0055 0.0445"/>
        </default>
      </default>
    </default>
  </default>
  <asset> <mesh name="base" file="base.obj"/> </asset>
  <worldbody>
    <light name="top" pos="0 0 2" mode="trackcom"/>
    <body name="link0" childclass="panda">
      <inertial mass="0.629769" pos="-0.04 0 0.05" diaginertia="0.003 0.004 0.004"/>
      <geom class="collision" type="mesh" mesh="base"/>
      {links}
    </body>
  </worldbody>
  <contact> <exclude body1="link7" body2="link8"/> </contact>
  <tendon>
    <fixed name="split">
      <joint joint="finger_joint1" coef="0.5"/> <joint joint="finger_joint2" coef="0.5"/>
    </fixed>
  </tendon>
  <equality>
    <joint joint1="finger_joint1" joint2="finger_joint2" solimp="0.95 0.99 0.001" solref="0.005 1"/>
  </equality>
  <actuator>
    {actuators}
    <general class="panda" name="actuator8" tendon="split" ctrlrange="0 255" forcerange="-100 100"
             gainprm="0.0156863 0 0" biasprm="0 -100 -10"/>
  </actuator>
  <keyframe>
    <key name="home" qpos="0 0 0 -1.57 0 1.57 -0.785 0.04 0.04" ctrl="0 0 0 -1.57 0 1.57 -0.785 255"/>
  </keyframe>
</mujoco>"""


def write_menagerie(root: Path) -> Path:
    """Write the folder under `root`; returns the arm's file."""
    folder = root / MODEL
    (folder / "assets").mkdir(parents=True)
    corners = [f"v {x} {y} {z}" for x in (-0.1, 0.05) for y in (-0.07, 0.07) for z in (0, 0.12)]
    faces = ["f 1 2 4 3", "f 5 7 8 6", "f 1 5 6 2", "f 3 4 8 7", "f 1 3 7 5", "f 2 6 8 4"]
    (folder / "assets" / "base.obj").write_text("\n".join([*corners, *faces]), encoding="utf-8")
    file = folder / "panda.xml"
    file.write_text(FILE.format(links=_links(), actuators=_actuators()), encoding="utf-8")
    return file


def _links() -> str:
    fingers = FINGER.format(side="left", turn="1 0 0 0", joint="finger_joint1")
    fingers += FINGER.format(side="right", turn="0 0 0 1", joint="finger_joint2")
    inner = HAND.format(fingers=fingers)
    for i in range(7, 0, -1):
        place, turn, limits, ends, radius = LINKS[i - 1]
        inner = f"""
<body name="link{i}" pos="{place}" quat="{turn}">
  <inertial mass="{MASSES[i - 1]}" pos="0 0 0" diaginertia="0.02 0.02 0.01"/>
  <joint name="joint{i}" range="{limits}"/>
  <geom class="collision" type="capsule" fromto="{ends}" size="{radius}"/>{inner}
</body>"""
    return inner


def _actuators() -> str:
    return "\n".join(
        f'<general class="panda" name="actuator{i}" joint="joint{i}" gainprm="{gain}" '
        f'biasprm="0 -{gain} -{gain // 10}" ctrlrange="{link[2]}"/>'
        for i, (gain, link) in enumerate(zip(GAINS, LINKS, strict=True), 1)
    )
