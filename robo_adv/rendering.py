"""Rendering without a display: a working OpenGL backend is found in subprocesses, then used.

MuJoCo chooses its backend when it is imported and a wrong one can crash the process, so each
candidate draws one picture in a subprocess of its own and the first that works is installed here.
"""

from __future__ import annotations

import atexit
import importlib
import os
import subprocess
import sys
import weakref
from functools import cache
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt
from mujoco.batch import Batch
from mujoco.rendering.classic import gl_context

from robo_adv.errors import DependencyError, RoboAdvError, unknown

_PROBE = (
    "import mujoco; m = mujoco.MjModel.from_xml_string("
    "'<mujoco><worldbody><geom size=\"1\"/></worldbody></mujoco>'); d = mujoco.MjData(m); "
    "r = mujoco.Renderer(m, 32, 32); mujoco.mj_forward(m, d); r.update_scene(d); "
    "assert r.render().shape == (32, 32, 3); r.close()"
)
FIX = (
    "install a software renderer: on Debian or Ubuntu `apt-get install libegl1 libgl1-mesa-dri` "
    "(or libosmesa6), on Fedora `dnf install mesa-libEGL mesa-dri-drivers`; then run "
    "`robo-adv doctor`"
)


def candidates() -> list[str]:
    """Backends to try, best first; a MUJOCO_GL that is set is tried alone."""
    chosen = os.environ.get("MUJOCO_GL")
    if chosen:
        return [chosen]
    if sys.platform == "darwin":
        return ["cgl", "glfw"]
    return ["egl", "osmesa", "glfw"] if sys.platform.startswith("linux") else ["glfw"]


def probe(backend: str, timeout: float = 60.0) -> str:
    """Draw one picture with `backend` in a subprocess; '' when it worked, else why not."""
    environment = {**os.environ, "MUJOCO_GL": backend}
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE],
            env=environment, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"no answer within {timeout:g} s"
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
    return lines[-1] if lines else f"exit code {done.returncode}"


@cache
def use_working_backend() -> str:
    """Choose a backend that draws, make MuJoCo's renderer use it and return its name.

    Raises:
        DependencyError: none works; the message says what was tried and how to fix it.
    """
    failures = []
    for backend in candidates():
        why = probe(backend)
        if not why:
            gl_context.GLContext = importlib.import_module(f"mujoco.{backend}").GLContext
            return backend
        failures.append(f"{backend}: {why}")
    raise DependencyError(f"no OpenGL backend can draw here ({'; '.join(failures)}); {FIX}")


class BatchRenderer:
    """Draws single simulations of a `mujoco.batch.Batch`, with their own model fields."""

    def __init__(self, batch: Batch) -> None:
        use_working_backend()
        self._batch = batch
        self._model = batch.get_model(0)
        self._data = mujoco.MjData(self._model)
        self._renderer: Any = None
        self._size = (0, 0)
        self._registered = False

    def draw(
        self, i: int, width: int, height: int, camera: str = "", shadows: bool = False
    ) -> npt.NDArray[np.uint8]:
        """Simulation i as (height, width, 3) from a named camera, or from a free one.

        Raises:
            RoboAdvError: no such camera, or a size that the off-screen buffer does not have.
        """
        names = [self._model.camera(c).name for c in range(self._model.ncam)]
        if camera and camera not in names:
            raise unknown("camera", camera, names)
        self._batch.get_model(i, self._model)
        self._batch.get_data(i, self._data)
        mujoco.mj_forward(self._model, self._data)
        renderer = self._sized(width, height)
        renderer.update_scene(self._data, camera=camera or -1)
        renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = shadows
        renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        return np.array(renderer.render(), dtype=np.uint8)

    def _sized(self, width: int, height: int) -> Any:
        if self._size != (width, height):
            limit = (self._model.vis.global_.offwidth, self._model.vis.global_.offheight)
            if not (0 < width <= limit[0] and 0 < height <= limit[1]):
                raise RoboAdvError(
                    f"picture size {width}x{height} is outside 1x1..{limit[0]}x{limit[1]}"
                )
            self.close()
            self._renderer = mujoco.Renderer(self._model, height, width)
            self._size = (width, height)
            if not self._registered:  # now, so that it runs before EGL's own exit handler
                atexit.register(close_at_exit, weakref.ref(self))
                self._registered = True
        return self._renderer

    def close(self) -> None:
        """Free the OpenGL context."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
            self._size = (0, 0)


def close_at_exit(renderer: weakref.ref[Any]) -> None:
    """Close a renderer that still exists; register it after the OpenGL context was made."""
    alive = renderer()
    if alive is not None:
        alive.close()
