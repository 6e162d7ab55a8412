"""Controllers in ONNX files, run by onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv.errors import DependencyError, RoboAdvError
from robo_adv.policy import State

Array = npt.NDArray[Any]
_NUMBERS = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
}
_ACTIONS = ("action", "actions", "mean", "mu")  # names of outputs, best first


class OnnxPolicy:
    """A network in an ONNX file, run by onnxruntime on one thread.

    Raises:
        DependencyError: onnxruntime is missing. RoboAdvError: not a file of one network with
            observations (n, d) in and actions (n, a) out.

    Attributes:
        size, actions: d and a. input, output: names in the file. batch: rows it takes at a time, None
            for any number.
    """

    def __init__(self, path: Path, observations: int, actions: int) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise DependencyError(
                f"{path} needs onnxruntime; install it with `pip install 'robo-adv[onnx]'`"
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the library raises many kinds
            raise RoboAdvError(f"{path} is not an ONNX network: {error}") from error
        self.path, self.actions = path, actions
        self._input = self._find_input(observations)
        self.dtype = _NUMBERS[self._input.type]
        self._output = self._find_output()
        batch = self._input.shape[0] if len(self._input.shape) == 2 else 1
        self.batch = batch if isinstance(batch, int) else None  # None: any number of rows
        self.flat = len(self._input.shape) == 1
        self.size, self.input, self.output = observations, self._input.name, self._output.name

    def _find_input(self, size: int) -> Any:
        inputs = self.session.get_inputs()
        told = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
        wanted = f"one input of observations (n, {size})"
        if len(inputs) != 1:
            raise RoboAdvError(f"{self.path} has inputs {told}; expected {wanted}")
        (found,) = inputs
        if found.type not in _NUMBERS or len(found.shape) not in (1, 2):
            raise RoboAdvError(f"{self.path} takes {told}; expected {wanted} of floats")
        if isinstance(found.shape[-1], int) and found.shape[-1] != size:
            raise RoboAdvError(
                f"{self.path} takes {told}, that is {found.shape[-1]} observations; this world gives "
                f"{size}"
            )
        return found

    def _find_output(self) -> Any:
        outputs = self.session.get_outputs()
        fitting = [o for o in outputs if not o.shape or o.shape[-1] in (self.actions, None)
                   or isinstance(o.shape[-1], str)]  # fmt: skip
        named = [o for name in _ACTIONS for o in fitting if o.name.lower() == name]
        if named or len(fitting) == 1:
            return (named or fitting)[0]
        told = ", ".join(f"{o.name} {o.shape}" for o in outputs)
        raise RoboAdvError(
            f"{self.path} has outputs {told}; expected one of {self.actions} actions, named "
            f"{' or '.join(_ACTIONS)} if several have that size"
        )

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        seen = observation.astype(self.dtype)
        if self.batch is None:
            return self._run(seen), state
        n, width = len(seen), self.batch
        missing = -n % width
        seen = np.concatenate([seen, np.repeat(seen[-1:], missing, axis=0)])
        parts = [self._run(seen[i : i + width]) for i in range(0, len(seen), width)]
        return np.concatenate(parts)[:n], state

    def _run(self, observation: Array) -> Array:
        fed = observation[0] if self.flat else observation
        try:
            (action,) = self.session.run([self._output.name], {self._input.name: fed})
        except Exception as error:  # the library raises many kinds
            raise RoboAdvError(f"{self.path} fails on {fed.shape}: {error}") from error
        action = np.asarray(action)
        if action.size != len(observation) * self.actions:
            raise RoboAdvError(
                f"{self.path}: output {self._output.name} has shape {action.shape} for observations "
                f"{fed.shape}; expected {self.actions} actions per row"
            )
        return action.reshape(len(observation), self.actions)
