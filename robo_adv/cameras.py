"""Cameras as sensors: small pictures of many simulations, cheap enough to learn from."""

from __future__ import annotations

import atexit
import copy
import time
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import mujoco
import numpy as np
import numpy.typing as npt
from mujoco.batch import Batch

from robo_adv.errors import RoboAdvError, unknown
from robo_adv.rendering import close_at_exit, use_working_backend

if TYPE_CHECKING:
    from robo_adv.envs.game import Game

MAX_SIZE = 1024  # [pixels]


class CameraRenderer:
    """Square pictures of many simulations from several cameras, as sensors give them.

    One OpenGL context serves all of them. Shadows, reflections and multisampling are off and round
    shapes coarse, and only what is drawn is computed: kinematics, tendons, cameras and lights.

    Args:
        cameras: names of cameras of the model. size: width and height [pixels].

    Raises:
        RoboAdvError: no such camera, or no such size.
        DependencyError: no OpenGL backend works here.
    """

    def __init__(self, batch: Batch, cameras: Sequence[str], size: int = 64) -> None:
        known = [batch.model.camera(c).name for c in range(batch.model.ncam)]
        for name in cameras:
            if name not in known:
                raise unknown("camera", name, known)
        if not 1 <= size <= MAX_SIZE:
            raise RoboAdvError(f"camera_size must lie in 1..{MAX_SIZE} pixels, got {size}")
        self.cameras, self.size = tuple(cameras), size
        self._batch = batch
        self._model = copy.copy(batch.model)
        self._data = mujoco.MjData(self._model)
        self._renderer: Any = None

    def draw(self, ids: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.uint8]]:
        """Pictures (n, size, size, 3) of simulations `ids` (n,) per camera, in fresh arrays."""
        renderer = self._open()
        out = {
            name: np.empty((len(ids), self.size, self.size, 3), np.uint8) for name in self.cameras
        }
        for row, i in enumerate(ids):
            self._batch.get_model(int(i), self._model)
            self._batch.get_data(int(i), self._data)
            _pose(self._model, self._data)
            for name, pictures in out.items():
                renderer.update_scene(self._data, camera=name)
                renderer.render(out=pictures[row])
        return out

    def _open(self) -> Any:
        if self._renderer is None:
            use_working_backend()
            _make_cheap(self._model)
            visual = self._model.vis.global_
            visual.offwidth = visual.offheight = self.size
            self._renderer = mujoco.Renderer(self._model, self.size, self.size)
            for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
                self._renderer.scene.flags[flag] = False
            atexit.register(close_at_exit, weakref.ref(self))
        return self._renderer

    def close(self) -> None:
        """Free the OpenGL context."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None


def _make_cheap(model: mujoco.MjModel) -> None:
    """Set what the OpenGL context is made from to few vertices and no shadow maps."""
    quality = model.vis.quality
    quality.shadowsize = quality.offsamples = 0
    quality.numslices, quality.numstacks = 12, 8
    planes = model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE
    sizes = model.geom_size[planes]  # half widths x and y, and the spacing of its grid of quads
    sizes[:, 2] = np.maximum(sizes[:, 2], sizes[:, :2].max(axis=1, initial=0.0) / 8.0)
    model.geom_size[planes] = sizes


def camera_speed(game: Game, cameras: Sequence[str], size: int = 64, rounds: int = 5) -> float:
    """Pictures per second of all simulations of a game from `cameras`, the fastest of a few rounds."""
    renderer, ids = CameraRenderer(game.batch, cameras, size), np.arange(game.num_envs)
    renderer.draw(ids)  # opens the context
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        renderer.draw(ids)
        best = min(best, time.perf_counter() - began)
    renderer.close()
    return len(ids) * len(renderer.cameras) / best


def _pose(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """Compute of `mj_forward` what a picture shows."""
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    mujoco.mj_camlight(model, data)
    mujoco.mj_flex(model, data)
    mujoco.mj_tendon(model, data)
