"""No output of a network leaves its bounds, and the bounds are as tight as their method promises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from robo_adv.errors import RoboAdvError
from robo_adv.threats import bounds as module
from robo_adv.threats.bounds import Ball, Bounds, Method, output_bounds
from robo_adv.threats.lines import Lines, lines
from robo_adv.threats.mlp import MLP, Activation, Layer

Array = npt.NDArray[Any]
CLIP = 2.0
METHODS: tuple[Method, ...] = ("ibp", "crown-ibp", "crown")
BALLS: tuple[Ball, ...] = ("linf", "l2")
KINDS = ("tanh", "relu", "mixed", "squashed")


def network(kind: str, size: int = 5, gain: float = 1.0, clip: float = CLIP) -> MLP:
    """Two hidden layers; with a large gain most tanh saturate."""
    torch.manual_seed(0)
    one, two = {"relu": (nn.ReLU(), nn.ReLU()), "mixed": (nn.ReLU(), nn.Tanh())}.get(
        kind, (nn.Tanh(), nn.Tanh())
    )
    layers = [nn.Linear(size, 16), one, nn.Linear(16, 12), two, nn.Linear(12, 3)]
    shift, scale = torch.randn(size), torch.rand(size) + 0.5
    last: Activation = "tanh" if kind == "squashed" else "none"
    mlp = MLP.of(layers, shift, scale, clip, last)
    assert mlp is not None
    grown = [replace(layer, weight=layer.weight * gain) for layer in mlp.layers]
    return replace(mlp, layers=tuple(grown))


def centres(size: int = 5, rows: int = 24) -> Array:
    """Some are well within the clip, some near it, some far beyond it."""
    spread = np.repeat([0.5, 2.0, 8.0], rows // 3)[:, None]
    return spread * np.random.default_rng(1).normal(size=(rows, size))


def outputs(mlp: MLP, z: Array) -> Array:
    """(..., o) for (..., d), as the controller computes them: in single precision."""
    flat = torch.as_tensor(z.reshape(-1, z.shape[-1]), dtype=torch.float32)
    return mlp(flat).double().numpy().reshape(*z.shape[:-1], -1)


def points(x: Array, radius: Array, norm: Ball, count: int = 400) -> Array:
    """Points (count, n, d) of the balls: within them, and on their corners or their surface."""
    rng = np.random.default_rng(2)
    u = rng.uniform(-1.0, 1.0, (count, *x.shape))
    if norm == "linf":
        u[: count // 2] = np.sign(u[: count // 2])
    else:
        u = rng.normal(size=u.shape)
        u /= np.linalg.norm(u, axis=-1, keepdims=True)
    return x + (1.0 - 1e-7) * radius * u


def outside(mlp: MLP, x: Array, radius: Array, norm: Ball, found: Bounds) -> int:
    """How many outputs leave the bounds, at random points and at those that gradients lead to."""
    seen = [points(x, radius, norm)]
    if norm == "linf":
        for output in range(3):
            for sign in (1.0, -1.0):
                z = torch.as_tensor(x, dtype=torch.float32).requires_grad_(True)
                (slope,) = torch.autograd.grad(sign * mlp(z)[:, output].sum(), z)
                seen.append((x + radius * slope.sign().numpy())[None])
    out = outputs(mlp, np.concatenate(seen))
    return int(((out < found.low) | (out > found.high)).sum())


@pytest.mark.parametrize("gain", [1.0, 4.0])
@pytest.mark.parametrize("norm", BALLS)
@pytest.mark.parametrize("kind", KINDS)
def test_no_output_leaves_its_bounds(kind: str, norm: Ball, gain: float) -> None:
    mlp, x = network(kind, gain=gain), centres()
    for size in (0.0, 1e-6, 0.02, 0.3, 3.0):
        radius = size * np.array([1.0, 0.5, 0.0, 2.0, 1.0])
        for method in METHODS:
            assert outside(mlp, x, radius, norm, output_bounds(mlp, x, radius, norm, method)) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_bounds_enclose_a_brute_force_grid_and_are_near_it_for_small_boxes(kind: str) -> None:
    mlp, x = network(kind, size=2), centres(2, 12)
    axis = np.linspace(-1.0, 1.0, 101)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 1, 2)
    for radius in (np.array([0.01, 0.02]), np.array([0.5, 0.2]), np.array([4.0, 4.0])):
        out = outputs(mlp, x + radius * grid)
        found = output_bounds(mlp, x, radius)
        assert (out >= found.low).all() and (out <= found.high).all()
        if radius[0] == 0.01:
            true = out.max(axis=0) - out.min(axis=0)
            assert np.median(found.width / (true + 2e-5)) < 1.1


@pytest.mark.parametrize("norm", BALLS)
def test_one_linear_layer_has_its_exact_bounds(norm: Ball) -> None:
    mlp = replace(network("tanh"), clip=float("inf"))
    mlp = replace(mlp, layers=(replace(mlp.layers[0], activation="none"),))
    x, radius = centres(), np.array([0.3, 0.1, 0.0, 1.0, 2.0])
    weight, bias = (p.double().numpy() for p in (mlp.layers[0].weight, mlp.layers[0].bias))
    scale = mlp.scale.double().numpy()
    middle = (x - mlp.shift.double().numpy()) * scale @ weight.T + bias
    each = np.abs(weight * scale * radius)
    reach = each.sum(axis=1) if norm == "linf" else np.sqrt((each**2).sum(axis=1))
    for method in ("crown-ibp", "crown"):
        found = output_bounds(mlp, x, radius, norm, method)
        np.testing.assert_allclose(found.low, middle - reach, atol=1e-4)
        np.testing.assert_allclose(found.high, middle + reach, atol=1e-4)


def test_what_lies_beyond_the_clip_does_not_widen_the_bounds() -> None:
    mlp = network("tanh")
    beyond = mlp.shift.double().numpy() + 50.0 / mlp.scale.double().numpy()
    at = output_bounds(mlp, beyond[None], np.full(5, 30.0))
    point = outputs(mlp, beyond[None])
    assert (at.width < 1e-4).all() and (np.abs(at.low - point) < 1e-4).all()
    all_of_it = output_bounds(mlp, beyond[None], np.full(5, 1e4))
    more = output_bounds(mlp, beyond[None], np.full(5, 1e6))
    np.testing.assert_allclose(all_of_it.low, more.low, atol=1e-2)


@pytest.mark.parametrize("norm", BALLS)
@pytest.mark.parametrize("kind", KINDS)
def test_linear_bounds_are_never_looser_than_intervals(kind: str, norm: Ball) -> None:
    mlp, x = network(kind), centres()
    for size in (0.0, 0.05, 0.5, 5.0):
        boxes = output_bounds(mlp, x, np.full(5, size), norm, "ibp")
        for method in ("crown-ibp", "crown"):
            tight = output_bounds(mlp, x, np.full(5, size), norm, method)
            assert (tight.low >= boxes.low).all() and (tight.high <= boxes.high).all()
        if size == 0.05:  # and much tighter where the network is almost linear
            assert tight.width.mean() < 0.7 * boxes.width.mean()


@pytest.mark.parametrize("norm", BALLS)
def test_bounds_widen_with_the_radius(norm: Ball) -> None:
    mlp, x = network("tanh"), centres()
    for method in METHODS:
        found = [output_bounds(mlp, x, np.full(5, r), norm, method) for r in (0, 0.1, 0.2, 0.5, 1)]
        for small, large in pairwise(found):
            assert (large.low <= small.low).all() and (large.high >= small.high).all()


def test_an_l2_ball_has_tighter_bounds_than_the_box_around_it() -> None:
    mlp, x = network("tanh"), centres()
    for method in METHODS:
        ball, box = (
            output_bounds(mlp, x, np.full(5, 0.2), norm, method) for norm in ("l2", "linf")
        )
        assert (ball.width <= box.width + 1e-12).all()
        assert ball.width.mean() < 0.8 * box.width.mean()


def test_entries_that_may_not_be_touched_stay_as_they_are() -> None:
    """The same as a network that has them built in."""
    mlp, x = network("tanh", clip=float("inf")), centres()[:1]
    radius = np.array([0.2, 0.0, 0.2, 0.0, 0.2])
    free, first = radius > 0, mlp.layers[0]
    held = ((torch.as_tensor(x[0]).float() - mlp.shift) * mlp.scale)[~free]
    weight, bias = first.weight[:, free], first.bias + first.weight[:, ~free] @ held
    inner = replace(first, weight=weight, bias=bias)
    small = MLP((inner, *mlp.layers[1:]), mlp.shift[free], mlp.scale[free])
    a, b = output_bounds(mlp, x, radius), output_bounds(small, x[:, free], radius[free])
    np.testing.assert_allclose(a.low, b.low, atol=1e-5)
    np.testing.assert_allclose(a.high, b.high, atol=1e-5)


def summed_in_any_order(mlp: MLP, x: Array, rng: np.random.Generator) -> Array:
    """Outputs (n, o) in single precision, products added up in a random order."""
    z = torch.clamp((torch.as_tensor(x).float() - mlp.shift) * mlp.scale, -mlp.clip, mlp.clip)
    for layer in mlp.layers:
        total = layer.bias.expand(len(z), -1).clone()
        for j in rng.permutation(z.shape[1]):
            total = total + z[:, j : j + 1] * layer.weight[:, j]
        z = {"tanh": torch.tanh, "relu": torch.relu, "none": torch.clone}[layer.activation](total)
    return z.double().numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_a_radius_of_zero_gives_the_output_up_to_the_rounding_of_any_order_of_summation(
    kind: str,
) -> None:
    mlp, x, rng = network(kind), centres(rows=96), np.random.default_rng(3)
    found = output_bounds(mlp, x, np.zeros(5))
    assert (found.width < 2e-4).all() and (found.width > 0).all()
    for _ in range(20):
        out = summed_in_any_order(mlp, x, rng)
        assert (out >= found.low).all() and (out <= found.high).all()


@pytest.mark.parametrize("method", METHODS)
def test_the_rounding_of_hidden_layers_is_within_the_bounds(method: Method) -> None:
    """Saturated units, of which the next layer takes large differences, and an exact last layer."""
    rng, eye = np.random.default_rng(4), torch.eye(32)
    large = torch.as_tensor(1000.0 * rng.normal(size=(1, 32)), dtype=torch.float32)
    layers = (
        Layer(eye, torch.zeros(32), "tanh"), Layer(large - large.mean(), torch.zeros(1), "none"),
        Layer(torch.ones(1, 1), torch.zeros(1), "none"),
    )  # fmt: skip
    mlp, x = MLP(layers, torch.zeros(32), torch.ones(32)), rng.uniform(5.0, 6.0, (200, 32))
    found, spread = output_bounds(mlp, x, np.zeros(32), method=method), []
    for _ in range(20):
        out = summed_in_any_order(mlp, x, rng)
        assert (out >= found.low).all() and (out <= found.high).all()
        spread.append(out)
    assert np.ptp(spread, axis=0).max() > 1e-3  # far more than the last layer rounds by


def test_the_rounding_of_large_observations_is_within_the_bounds() -> None:
    mlp = network("tanh")
    inputs = replace(mlp.layers[0], weight=torch.eye(5), bias=torch.zeros(5), activation="none")
    mlp = MLP((inputs,), torch.full((5,), 1000.0), torch.full((5,), 10.0))
    x, radius = 1000.0 + np.random.default_rng(5).random((50, 5)), np.full(5, 0.1)
    for size in (0.0, 1.0):
        found = output_bounds(mlp, x, size * radius)
        for sign in (-1.0, 1.0):
            out = outputs(mlp, (x + sign * size * radius).astype(np.float32))
            assert (out >= found.low).all() and (out <= found.high).all()
        assert (found.width < 20.0 * size * radius + 0.02).all()


def test_the_rounding_of_saturated_outputs_is_within_the_bounds() -> None:
    """tanh(12) is 1 in single precision, and less in double."""
    layer = replace(network("tanh", 3).layers[0], weight=12.0 * torch.eye(3), bias=torch.zeros(3))
    mlp = MLP((replace(layer, activation="tanh"),), torch.zeros(3), torch.ones(3))
    found = output_bounds(mlp, np.array([[1.0, -1.0, 0.0]]), np.zeros(3))
    assert (found.high[0, 0] >= 1.0) and (found.low[0, 1] <= -1.0) and (found.width < 1e-4).all()


def test_rows_do_not_depend_on_their_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    mlp, x = network("tanh"), centres()
    whole = output_bounds(mlp, x, np.full(5, 0.1))
    monkeypatch.setattr(module, "CHUNK", 1)  # one row at a time
    alone = output_bounds(mlp, x, np.full(5, 0.1))
    np.testing.assert_allclose(whole.low, alone.low, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(whole.high, alone.high, rtol=1e-12, atol=1e-12)


ENDS = np.array([-60.0, -6.0, -2.0, -1.0, -0.3, -1e-3, -1e-12, 0.0, 1e-9, 0.2, 1.0, 3.0, 30.0])


@pytest.mark.parametrize("kind", ["tanh", "relu", "none"])
def test_lines_enclose_their_activation_on_every_interval(kind: Activation) -> None:
    low, high = (a.ravel()[None] for a in np.meshgrid(ENDS, ENDS))
    low, high = low[:, low[0] <= high[0]], high[:, low[0] <= high[0]]
    found = lines(kind, low, high)
    x = low + np.linspace(0.0, 1.0, 2001)[:, None] * (high - low)
    y = {"tanh": np.tanh(x), "relu": np.maximum(x, 0.0), "none": x}[kind]
    assert (found.above_slope * x + found.above >= y - 1e-12).all()
    assert (found.below_slope * x + found.below <= y + 1e-12).all()


def test_lines_of_tanh_enclose_it_where_secants_turn_into_tangents() -> None:
    """The end of the interval is where a line from its beginning touches tanh, or very near."""
    low = -(np.random.default_rng(0).uniform(0.0, 25.0, (1, 300)) ** 2) / 25.0
    touch, before = -low, np.zeros_like(low)
    for _ in range(60):
        middle = 0.5 * (before + touch)
        above = np.tanh(middle) + (1 - np.tanh(middle) ** 2) * (low - middle) >= np.tanh(low)
        before, touch = np.where(above, before, middle), np.where(above, middle, touch)
    for beside in (-1e-2, -1e-3, -1e-4, 0.0, 1e-4, 1e-3, 1e-2):
        high = np.maximum(touch + beside, low)
        found = lines("tanh", low, high)
        x = low + np.linspace(0.0, 1.0, 4001)[:, None] * (high - low)
        assert (found.above_slope * x + found.above >= np.tanh(x) - 1e-12).all()
        mirrored = lines("tanh", -high, -low)
        assert (mirrored.below_slope * -x + mirrored.below <= np.tanh(-x) + 1e-12).all()


def test_lines_of_tanh_touch_it() -> None:
    """A secant, or a tangent: somewhere in the interval they are as near as they can be."""
    low, high = np.array([[-3.0, -1.0, -0.5, 0.2, -2.0]]), np.array([[0.5, 2.0, 0.6, 3.0, -1.0]])
    found = lines("tanh", low, high)
    x = low + np.linspace(0.0, 1.0, 20001)[:, None] * (high - low)
    above = (found.above_slope * x + found.above - np.tanh(x)).min(axis=0)
    below = (np.tanh(x) - found.below_slope * x - found.below).min(axis=0)
    assert above.max() < 1e-6 and below.max() < 1e-6


def _changed(**how: Callable[[Lines], Array]) -> Callable[[Activation, Array, Array], Lines]:
    def mutant(kind: Activation, low: Array, high: Array) -> Lines:
        right = lines(kind, low, high)
        return replace(right, **{name: change(right) for name, change in how.items()})

    return mutant


MUTANTS = {
    "the slope below has the wrong sign": _changed(below_slope=lambda own: -own.below_slope),
    "the line below lies above": _changed(
        below_slope=lambda own: own.above_slope, below=lambda own: own.above
    ),
    "the line above lies below": _changed(
        above_slope=lambda own: own.below_slope, above=lambda own: own.below
    ),
    "the intercept below is forgotten": _changed(below=lambda own: np.zeros_like(own.below)),
    "the slopes are swapped": _changed(
        above_slope=lambda own: own.below_slope, below_slope=lambda own: own.above_slope
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS)
@pytest.mark.parametrize("kind", ["tanh", "mixed"])
def test_wrong_relaxations_are_caught(
    kind: str, mutant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one input, where linear bounds are nearly exact, so that no looseness hides them."""
    mlp, x, grid = network(kind, 1), 0.7 * centres(1), np.linspace(-1.0, 1.0, 501)[:, None, None]

    def leaves() -> bool:
        wrong = False
        for radius in (np.array([0.1]), np.array([0.5]), np.array([2.0])):
            found, out = output_bounds(mlp, x, radius), outputs(mlp, x + radius * grid)
            wrong |= bool(((out < found.low) | (out > found.high)).any())
        return wrong

    assert not leaves()
    monkeypatch.setattr(module, "lines", MUTANTS[mutant])
    assert leaves()


@pytest.mark.parametrize(
    ("x", "radius", "norm", "method", "why"),
    [
        (np.zeros((2, 4)), np.zeros(5), "linf", "crown", r"takes 5 inputs.*got \(2, 4\)"),
        (np.zeros(5), np.zeros(5), "linf", "crown", "takes 5 inputs"),
        (np.zeros((2, 5)), np.zeros(3), "linf", "crown", r"radius \(5,\)"),
        (np.zeros((2, 5)), -np.ones(5), "linf", "crown", "at least 0"),
        (np.full((2, 5), np.nan), np.zeros(5), "linf", "crown", "finite"),
        (np.zeros((2, 5)), np.full(5, np.inf), "linf", "crown", "finite"),
        (np.zeros((2, 5)), np.zeros(5), "l1", "crown", "unknown norm.*known: l2, linf"),
        (np.zeros((2, 5)), np.zeros(5), "linf", "crwn", "did you mean 'crown'"),
    ],
)
def test_what_cannot_be_bounded_is_refused(
    x: Array, radius: Array, norm: Any, method: Any, why: str
) -> None:
    with pytest.raises(RoboAdvError, match=why):
        output_bounds(network("tanh"), x, radius, norm, method)
