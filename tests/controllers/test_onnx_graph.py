"""Access through the graph of an ONNX file: exact where it is a plain network, and never guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from robo_adv.agents import onnx_graph
from robo_adv.agents.chain import Linear
from robo_adv.agents.controllers import Controller, controller
from robo_adv.envs.foreign import GymnasiumWorld
from robo_adv.threats.mlp import MLP

SIZE, ACTIONS = 3, 1  # of Pendulum-v1, whose actions lie in +-2
RNG = np.random.default_rng(0)
NUMBERS = {
    "W": RNG.normal(0.0, 0.8, (SIZE, 8)), "b": RNG.normal(size=8), "V": RNG.normal(size=(1, 8)),
    "c": RNG.normal(size=1), "m": np.array([0.2, -0.1, 1.0]), "s": np.array([0.5, 0.7, 3.0]),
    "var": np.array([0.25, 0.49, 9.0]), "i": np.array([2.0, 1.4, 0.3]), "-10": np.array(-10.0),
    "10": np.array(10.0), "-2": np.array(-2.0), "2": np.array(2.0), "1": np.array(1.0),
    "-1": np.array(-1.0),
}  # fmt: skip
NET = [("MatMul", "W"), ("Add", "b"), ("Tanh",), ("Gemm", "V", "c", {"transB": 1})]


@pytest.fixture(scope="module")
def world() -> GymnasiumWorld:
    return GymnasiumWorld("Pendulum-v1", 2)


def _file(path: Path, *nodes: Any) -> Path:
    """A chain of nodes: an operator, its constants, and its attributes; `x` stands for the input in
    another place than the first."""
    made, name = [], "obs"
    for k, (kind, *rest) in enumerate(nodes):
        attributes = rest.pop() if rest and isinstance(rest[-1], dict) else {}
        inputs = [name if r == "x" else r for r in rest] if "x" in rest else [name, *rest]
        name = "action" if k == len(nodes) - 1 else f"h{k}"
        made.append(helper.make_node(kind, inputs, [name], **attributes))
    side = [helper.make_node("Sqrt", ["var"], ["root"])]
    values = [numpy_helper.from_array(np.asarray(v, np.float32), k) for k, v in NUMBERS.items()]
    values.append(numpy_helper.from_array(np.array([-1, SIZE], np.int64), "shape"))
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        side + made, "policy", [info("obs", TensorProto.FLOAT, ["n", SIZE])],
        [info("action", TensorProto.FLOAT, ["n", ACTIONS])], values,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 8
    onnx.save(model, path / "policy.onnx")
    return path / "policy.onnx"


def _open(path: Path, world: GymnasiumWorld) -> Controller:
    return controller(str(path), world, "agent")


def _agrees(found: Controller) -> None:
    assert found.access.mean is not None
    seen = np.random.default_rng(1).normal([0.2, -0.1, 1.0], [3.0, 3.0, 20.0], (50, SIZE))
    x = torch.as_tensor(seen, dtype=torch.float32).requires_grad_(True)
    mean = found.access.mean(x)
    done = found.policy.predict(seen)[0]
    assert done.std() > 0.1
    assert np.allclose(np.clip(mean.detach().numpy(), -2, 2), np.clip(done, -2, 2), atol=1e-5)
    (slope,) = torch.autograd.grad(mean.sum(), x)
    assert slope.abs().max() > 0


@pytest.mark.parametrize(
    "nodes",
    [
        NET,
        [("Sub", "m"), ("Div", "s"), ("Clip", "-10", "10"), *NET],
        [("Sub", "m"), ("Div", "root"), ("Max", "-10"), ("Min", "10"), *NET],
        [("Sub", "m"), ("Mul", "i"), *NET],
        [("Cast", {"to": 1}), ("Flatten",), ("Reshape", "shape"), ("Concat", {"axis": 1}), *NET],
        [*NET, ("Clip", "-2", "2")],
        [*NET, ("Tanh",)],
        [*NET, ("Tanh",), ("Mul", "2")],
        [("Identity",), ("MatMul", "W"), ("Add", "b", "x"), ("Relu",),
         ("Gemm", "V", "", {"transB": 1, "alpha": 0.5})],
    ],
    ids=["plain", "normalised", "min and max", "scaled", "reshaped", "clipped", "tanh", "stretched",
         "relu"],
)  # fmt: skip
def test_a_plain_network_is_an_mlp_that_gives_the_files_own_actions(
    nodes: Any, world: GymnasiumWorld, tmp_path: Path
) -> None:
    found = _open(_file(tmp_path, *nodes), world)
    assert isinstance(found.access.mean, MLP), found.notes
    _agrees(found)
    assert any("from the graph of the file (MLP 3 x 8 x 1" in note for note in found.notes)
    first = nodes[0][0]
    assert (found.access.normaliser is None) == (first != "Sub")
    if found.access.normaliser is not None and nodes[1][0] == "Div":
        assert np.allclose(found.access.normaliser[0], NUMBERS["m"])
        assert np.allclose(found.access.normaliser[1], NUMBERS["s"])
        assert found.access.mean.clip == 10.0


@pytest.mark.parametrize(
    "nodes",
    [
        [("MatMul", "W"), ("Elu", {"alpha": 0.7}), *NET[3:]],
        [("Clip", "-1", "10"), *NET],
        [*NET, ("Clip", "-1", "1")],
        [("MatMul", "W"), ("Sigmoid",), *NET[3:]],
    ],
    ids=["elu", "lopsided clip", "narrow clip", "sigmoid"],
)
def test_another_chain_is_differentiated_by_torch(
    nodes: Any, world: GymnasiumWorld, tmp_path: Path
) -> None:
    found = _open(_file(tmp_path, *nodes), world)
    _agrees(found)
    assert not isinstance(found.access.mean, MLP)
    assert any("differentiated by torch" in note for note in found.notes)


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([("Sin",), *NET], r"operator Sin is not understood"),
        ([("Add", "obs"), *NET], "operator Add joins 2 branches"),
        ([*NET[:1], ("Softmax", {"axis": 1}), *NET[3:]], "Softmax"),
        ([("Div", "s", "x"), *NET], "Div divides by what it is given"),
    ],
)
def test_what_prevents_access_is_named(
    nodes: Any, words: str, world: GymnasiumWorld, tmp_path: Path
) -> None:
    found = _open(_file(tmp_path, *nodes), world)
    assert found.black_box
    assert any("does not give gradients" in n and words.replace("\\", "") in n for n in found.notes)


def test_a_graph_that_is_read_wrongly_is_noticed(
    world: GymnasiumWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_bias(values: Any, place: int, attributes: Any) -> Linear:
        return Linear(values[1].T, np.zeros(len(values[1])))

    monkeypatch.setitem(onnx_graph.READERS, "Gemm", without_bias)
    found = _open(_file(tmp_path, *NET), world)
    assert found.black_box and any("acts otherwise" in note for note in found.notes)


def test_what_torch_exports_is_read(world: GymnasiumWorld, tmp_path: Path) -> None:
    class Published(torch.nn.Module):
        mean: torch.Tensor
        var: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            linear = torch.nn.Linear
            self.net = torch.nn.Sequential(linear(SIZE, 8), torch.nn.Tanh(), linear(8, ACTIONS))
            self.register_buffer("mean", torch.tensor([0.2, -0.1, 1.0]))
            self.register_buffer("var", torch.tensor([0.25, 0.49, 9.0]))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            z = ((x - self.mean) / torch.sqrt(self.var + 1e-8)).clamp(-10.0, 10.0)
            out: torch.Tensor = 2.0 * self.net(z)
            return out

    path = tmp_path / "policy.onnx"
    options: dict[str, Any] = {"dynamo": False, "input_names": ["obs"], "output_names": ["action"]}
    torch.onnx.export(Published(), (torch.zeros(1, SIZE),), str(path), **options)
    found = _open(path, world)
    assert isinstance(found.access.mean, MLP) and found.access.mean.clip == 10.0
    _agrees(found)
