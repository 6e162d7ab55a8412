"""Square attack (Andriushchenko et al. 2020) on vectors: random search over the corners of the ball."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robo_adv.errors import RoboAdvError
from robo_adv.threats.attack import ATTACKS, Array, Perturbation, View
from robo_adv.threats.threat import Port


@ATTACKS.register("square")
@dataclass(frozen=True)
class Square(Perturbation):
    """Raises the difference of the action by asking the controller what it would do: in each round
    some disjoint blocks of entries change sides, one at a time and then all those that helped, and the
    best of these is kept if it is better. Blocks shrink to one entry, as the paper's squares do, and go
    through the entries in random order. No gradients.

    Attributes:
        rounds, tries: rounds of a step, and blocks of a round; the controller is asked 2 + rounds *
            (tries + 1) times beside what it does, in 1 + 2 * rounds calls.
    """

    rounds: int = 8
    tries: int = 7
    port: ClassVar[Port] = "observation"
    passes: ClassVar[tuple[int, int]] = (66, 0)

    def propose(self, view: View) -> Array:
        if view.ask is None:
            raise RoboAdvError("the square attack asks the controller, which cannot be asked here")
        n = len(view.clean)
        free = np.flatnonzero((np.broadcast_to(view.radius, view.clean.shape) > 0).any(axis=0))
        if not len(free):
            return view.clean
        sign = np.where(view.uniform() < 0, -1.0, 1.0)
        order = free[np.argsort(view.uniform(salt=1)[:, free], axis=1)]
        plain, first = np.split(view.ask(np.concatenate([view.clean, _at(view, sign)])), 2)
        most, begin = _away(first, plain), 0
        for k in range(self.rounds):
            size = max(1, round(len(free) / self.tries / 2.0**k))
            count = min(self.tries, len(free) // size)
            blocks = begin + np.arange(count * size).reshape(count, size)
            begin += count * size
            sides = np.stack([_swapped(sign, order, block) for block in blocks])
            asked = view.ask(np.concatenate([_at(view, side) for side in sides]))
            away = np.stack([_away(part, plain) for part in np.split(asked, count)])
            helped = np.where((away > most)[..., None], sides * sign, 1.0).prod(axis=0)
            joint = sign * helped
            sides = np.concatenate([sign[None], sides, joint[None]])
            last = _away(view.ask(_at(view, joint)), plain)
            away = np.concatenate([most[None], away, last[None]])
            top = away.argmax(axis=0)
            sign, most = sides[top, np.arange(n)], away[top, np.arange(n)]
        return _at(view, sign)


def _swapped(sign: Array, order: Array, block: Array) -> Array:
    """Sides (n, d) with those of some places in the order of entries swapped."""
    side, rows = sign.copy(), np.arange(len(sign))[:, None]
    entries = order[:, block % order.shape[1]]
    side[rows, entries] = -sign[rows, entries]
    return side


def _at(view: View, sign: Array) -> Array:
    return np.asarray(view.clean + view.radius * sign)


def _away(action: Array, plain: Array) -> Array:
    """Squared differences (n,), summed in the order of the entries."""
    total = np.zeros(len(action))
    for column in (np.asarray(action, dtype=np.float64) - plain).T:
        total += column * column
    return total
