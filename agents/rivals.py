"""PGD of other toolboxes on a controller: Foolbox and the Adversarial Robustness Toolbox (ART).

Both attack classifiers. Foolbox's loss can be overridden. ART's classifier takes any loss; its PGD
gives regressors no random start, without which the gradient of this loss is zero.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from robo_adv.errors import DependencyError
from robo_adv.threats.mlp import MLP

Array = npt.NDArray[Any]
Work = Callable[[], Array]
Rival = Literal["foolbox", "art"]
PACKAGES: dict[Rival, str] = {"foolbox": "foolbox", "art": "adversarial-robustness-toolbox"}


@dataclass(frozen=True)
class Problem:
    """Raise |mean(z) - mean(x)|^2 in a ball around observations, from a random point of it.

    Attributes:
        mean: of the controller. clean: observations x (n, d). radius: of the ball (d,), above 0.
        steps: of the ascent. step: their length in radii.
    """

    mean: MLP
    clean: Array
    radius: Array
    steps: int = 20
    step: float = 0.125

    def loss(self, shown: Array) -> float:
        """The mean of the squared distance over observations."""
        before, after = (self.mean(torch.as_tensor(x).float()) for x in (self.clean, shown))
        return float((after - before).square().sum(dim=1).mean())

    def module(self) -> nn.Module:
        """The mean action as a function of observations in radii."""
        radius = torch.as_tensor(self.radius, dtype=torch.float32)
        shift, scale = self.mean.shift / radius, self.mean.scale * radius
        return _Module(replace(self.mean, shift=shift, scale=scale)).eval()

    def scaled(self) -> Array:
        """The observations in radii (n, d), 32-bit."""
        return (self.clean / self.radius).astype(np.float32)


class _Module(nn.Module):
    def __init__(self, mlp: MLP) -> None:
        super().__init__()
        self.mlp = mlp

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.mlp(x)


class _Distance(nn.Module):
    def forward(self, action: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        return (action - wanted).square().sum()


def need(rivals: Iterable[Rival]) -> None:
    """Imports toolboxes.

    Raises:
        DependencyError: one is not installed, or broken.
    """
    for rival in rivals:
        if importlib.util.find_spec(rival) is None:
            raise DependencyError(
                f"the comparison with {rival} needs {PACKAGES[rival]}, which is not installed; install "
                "it with `pip install 'robo-adv[rivals]'`, or name the toolboxes you have with --rivals"
            )
        try:
            importlib.import_module(rival)
        except ImportError as error:
            raise DependencyError(
                f"{PACKAGES[rival]} is installed but cannot be imported: {error}; repair it, or leave "
                f"{rival} out of --rivals"
            ) from error


def foolbox_pgd(problem: Problem) -> Work:
    """Foolbox's LinfPGD with its loss overridden, all observations at once."""
    foolbox: Any = importlib.import_module("foolbox")
    attack = foolbox.attacks.LinfPGD(abs_stepsize=problem.step, steps=problem.steps)

    def get_loss_fn(model: Any, labels: Any) -> Any:
        return lambda inputs: (model(inputs) - labels).square().sum()

    attack.get_loss_fn = get_loss_fn
    model = foolbox.PyTorchModel(problem.module(), bounds=(-1e9, 1e9), device="cpu")

    def shown() -> Array:
        x = torch.as_tensor(problem.scaled())
        wanted = foolbox.criteria.Misclassification(problem.mean(torch.as_tensor(problem.clean)))
        return np.asarray(attack.run(model, x, wanted, epsilon=1.0).numpy() * problem.radius)

    return shown


def art_pgd(problem: Problem, rows: int) -> Work:
    """ART's ProjectedGradientDescent with so many observations at a time."""
    evasion: Any = importlib.import_module("art.attacks.evasion")
    estimators: Any = importlib.import_module("art.estimators.classification")
    (size,), actions = problem.radius.shape, len(problem.mean.layers[-1].bias)
    classifier = estimators.PyTorchClassifier(
        problem.module(), _Distance(), input_shape=(size,), nb_classes=actions, device_type="cpu"
    )
    attack = evasion.ProjectedGradientDescent(
        classifier, eps=1.0, eps_step=problem.step, max_iter=problem.steps, num_random_init=1,
        batch_size=rows, verbose=False,
    )  # fmt: skip

    def shown() -> Array:
        wanted = problem.mean(torch.as_tensor(problem.clean)).numpy()
        return np.asarray(attack.generate(x=problem.scaled(), y=wanted) * problem.radius)

    return shown
