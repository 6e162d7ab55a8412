"""Pictures of foreign environments: MuJoCo's are drawn here, others draw themselves."""

from __future__ import annotations

import atexit
import weakref
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt
from PIL import Image

from robo_adv.envs.foreign.make import Env, Factory
from robo_adv.envs.foreign.rows import Rows, simulation_of
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.rendering import close_at_exit, use_working_backend

Picture = npt.NDArray[np.uint8]


class Pictures:
    """Draws single rows from copies of their simulations."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._renderer: Any = None
        self._of: tuple[Any, int, int] | None = None
        self._registered = False

    def draw(self, i: int, width: int, height: int, camera: str, shadows: bool) -> Picture:
        """Row i as (height, width, 3)."""
        env = self._rows.rows[i].env
        found = simulation_of(env)
        if found is None:
            return _own_picture(env, width, height)
        model, data = found
        names = [model.camera(c).name for c in range(model.ncam)]
        if camera and camera not in names:
            raise unknown("camera", camera, names)
        renderer = self._sized(model, width, height)
        copy = mujoco.MjData(model)
        mujoco.mj_copyData(copy, model, data)
        mujoco.mj_forward(model, copy)
        view: Any = camera or next((n for n in ("track", *names) if n in names), -1)
        renderer.update_scene(copy, camera=view)
        renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = shadows
        renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        return np.array(renderer.render(), dtype=np.uint8)

    def _sized(self, model: Any, width: int, height: int) -> Any:
        if self._of is not None and self._of[0] is model and self._of[1:] == (width, height):
            return self._renderer
        limit = (4096, 4096)
        if not (0 < width <= limit[0] and 0 < height <= limit[1]):
            raise RoboAdvError(
                f"picture size {width}x{height} is outside 1x1..{limit[0]}x{limit[1]}"
            )
        self.close()
        use_working_backend()
        view = model.vis.global_
        view.offwidth, view.offheight = max(view.offwidth, width), max(view.offheight, height)
        self._renderer = mujoco.Renderer(model, height, width)
        self._of = (model, width, height)
        if not self._registered:
            atexit.register(close_at_exit, weakref.ref(self))
            self._registered = True
        return self._renderer

    def close(self) -> None:
        """Free the OpenGL context."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer, self._of = None, None


def _own_picture(env: Any, width: int, height: int) -> Picture:
    """What the environment draws, in the wanted size."""
    try:
        picture = env.render() if env.render_mode == "rgb_array" else None
    except Exception as problem:  # whatever the environment's own drawing needs
        raise RoboAdvError(f"{env} cannot draw itself: {problem}") from problem
    if not isinstance(picture, np.ndarray) or picture.ndim != 3:
        raise RoboAdvError(
            f"{env} draws no pictures; make it with render_mode='rgb_array' if it can"
        )
    image = Image.fromarray(picture.astype(np.uint8)).convert("RGB")
    return np.asarray(image.resize((width, height)), dtype=np.uint8)


def with_pictures(make: Factory) -> tuple[Factory, Env]:
    """The factory and its first environment; one that draws only when it is made for it is."""
    env = make()
    modes = env.metadata.get("render_modes") or ()
    named = isinstance(make.source, str) and "render_mode" not in make.keywords
    if named and "rgb_array" in modes and simulation_of(env) is None:
        env.close()
        make = Factory(make.source, {**make.keywords, "render_mode": "rgb_array"})
        env = make()
    return make, env
