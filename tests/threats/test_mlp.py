"""The MLP with a written-out gradient is the torch network that it was made from."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from robo_adv.threats.mlp import MLP, Activation, Head

CLIP = 2.0


def network(kind: type[nn.Module], last: Activation) -> tuple[MLP, nn.Module]:
    """The same function twice; part of the inputs of `inputs` is beyond its clip."""
    torch.manual_seed(0)
    layers = [nn.Linear(7, 16), kind(), nn.Linear(16, 16), kind(), nn.Linear(16, 3)]
    shift, scale = torch.randn(7), torch.rand(7) + 0.5
    mlp = MLP.of(layers, shift, scale, CLIP, last)
    assert mlp is not None

    class Plain(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = nn.Sequential(*layers)(((x - shift) * scale).clamp(-CLIP, CLIP))
            return torch.tanh(out) if last == "tanh" else out

    return mlp, Plain()


def inputs(rows: int = 96) -> torch.Tensor:
    return 2.0 * torch.randn(rows, 7, generator=torch.Generator().manual_seed(1))


def squares(out: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return out.square().sum(dim=1), 2.0 * out


head: Head = squares


@pytest.mark.parametrize("last", ["none", "tanh"])
@pytest.mark.parametrize("kind", [nn.Tanh, nn.ReLU])
def test_values_and_gradients_are_those_of_automatic_differentiation(
    kind: type[nn.Module], last: Activation
) -> None:
    mlp, plain = network(kind, last)
    x = inputs().requires_grad_(True)
    wanted, _ = squares(plain(x))
    (gradient,) = torch.autograd.grad(wanted.sum(), x)
    value, slope = mlp.value_and_slope(x.detach(), head)
    assert (gradient == 0).any() and (slope[gradient == 0] == 0).all()  # beyond the clip
    torch.testing.assert_close(value, wanted.detach(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(slope, gradient, rtol=1e-4, atol=1e-5)


def test_inputs_within_the_clip_have_the_same_gradient_beside_some_beyond_it() -> None:
    mlp, _ = network(nn.Tanh, "none")
    x = inputs()
    within = (((x - mlp.shift) * mlp.scale).abs() < CLIP).all(dim=1)
    near = x[within][:32] if within.sum() >= 32 else x[within].repeat(32, 1)[:32]
    mixed = torch.cat([near, 100.0 * torch.ones(32, 7)])
    alone, beside = mlp.value_and_slope(near, head)[1], mlp.value_and_slope(mixed, head)[1]
    assert torch.equal(alone, beside[:32]) and not beside[32:].any()


@pytest.mark.parametrize("kind", [nn.Tanh, nn.ReLU])
def test_it_differentiates_where_torch_records_and_gives_the_same_outputs(
    kind: type[nn.Module],
) -> None:
    mlp, plain = network(kind, "tanh")
    x = inputs().requires_grad_(True)
    recorded, wanted = mlp(x), plain(x)
    assert torch.equal(recorded, wanted)
    ones = torch.ones_like(wanted)
    (a,), (b,) = (torch.autograd.grad(out, x, ones) for out in (recorded, wanted))
    torch.testing.assert_close(a, b)
    torch.testing.assert_close(mlp(x.detach()), wanted.detach(), rtol=1e-5, atol=1e-6)


def test_rows_do_not_depend_on_the_width_of_the_batch() -> None:
    """In multiples of 32, to which calls of controllers are padded."""
    mlp, _ = network(nn.Tanh, "none")
    x = inputs(256)
    value, slope = mlp.value_and_slope(x, head)
    for first, rows in ((0, 32), (64, 96), (224, 32)):
        part = slice(first, first + rows)
        some_value, some_slope = mlp.value_and_slope(x[part].clone(), head)
        assert torch.equal(some_value, value[part]) and torch.equal(some_slope, slope[part])


def test_a_call_changes_neither_its_inputs_nor_its_weights() -> None:
    mlp, _ = network(nn.ReLU, "tanh")
    x = inputs()
    before = [x.clone(), *(layer.weight.clone() for layer in mlp.layers)]
    mlp(x), mlp.value_and_slope(x, head)
    assert all(map(torch.equal, before, [x, *(layer.weight for layer in mlp.layers)]))


def test_other_modules_are_refused() -> None:
    assert MLP.of([nn.Linear(3, 2), nn.GELU()]) is None
    assert MLP.of([]) is None
