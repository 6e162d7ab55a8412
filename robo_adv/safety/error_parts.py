"""The profile of a controller's error in time and state space, not only its size.

Lechner et al. 2021, "Adversarial training is not ready for robot learning" (arXiv 2103.08187), name
systematic, conditional and transient errors; the same mean error does different harm as a shift, in
one region, or in bursts. Here they are the parts of a nested analysis of variance (as in Searle,
Casella and McCulloch 1992, "Variance components", chapter 5) of signed errors at the same states:

    mean |e|^2 = |mu|^2                    systematic: everywhere
               + sum_c w_c |mu_c - mu|^2   conditional: in context c
               + mean |e_block - mu_c|^2   drift: slower than the plant, from run to run
               + mean |e - e_block|^2      transient: within a block of L steps

The identity is exact. White noise of variance v puts v / L into drift, the rest into transient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from robo_adv.errors import RoboAdvError
from robo_adv.safety.bootstrap import Array, Floats

PARTS = ("systematic", "conditional", "drift", "transient")
Ints = npt.NDArray[np.int64]


def signed_errors(action: Array, reference: Array, low: Array, high: Array) -> Floats:
    """(action - reference) / (high - low), in parts of the action's range: (T, a).

    Args:
        reference: (T, a) what an expert, or the baseline, does in the same states.
        low, high: (a,) finite bounds of the action.
    """
    span = np.asarray(high, np.float64) - np.asarray(low, np.float64)
    if not (np.isfinite(span).all() and (span > 0.0).all()):
        raise RoboAdvError(
            f"signed errors need finite action bounds low < high, got {low} and {high}"
        )
    return np.asarray((np.asarray(action, np.float64) - reference) / span)


@dataclass(frozen=True)
class Sums:
    """What the parts need of each of E episodes, so that a resample is a weighted sum.

    count (E, C), vector (E, C, a): steps and summed error per context; block (E,): sum over blocks
    of length x |mean|^2; square (E,): sum of |e|^2.
    """

    count: Floats
    vector: Floats
    block: Floats
    square: Floats


def parts_of(errors: Array, episodes: Array, contexts: Array, block: int) -> Floats:
    """(4,) systematic, conditional, drift, transient; their sum is the mean of |e|^2 exactly.

    Args:
        errors: (T, a) signed errors, in time order within episodes. episodes, contexts: (T,) labels.
        block: L, about the plant's time constant [steps]; blocks are cut from the start of every
            maximal stretch in one episode and context.
    """
    sums = sums_of(errors, episodes, contexts, block)
    first: Floats = weighted_parts(sums, np.ones((1, len(sums.square))))[0]
    return first


def sums_of(errors: Array, episodes: Array, contexts: Array, block: int) -> Sums:
    e, block = _checked(errors, episodes, contexts, block)
    episode = np.unique(episodes, return_inverse=True)[1].ravel()
    context = np.unique(contexts, return_inverse=True)[1].ravel()
    sizes = int(episode.max()) + 1, int(context.max()) + 1
    cell = episode * sizes[1] + context
    count = np.bincount(cell, minlength=sizes[0] * sizes[1]).reshape(sizes)
    piece, owner = _blocks(episode, context, block)
    length = np.bincount(piece)
    energy = sum(np.bincount(piece, column) ** 2 for column in e.T) / length
    vector = [np.bincount(cell, column, minlength=count.size).reshape(sizes) for column in e.T]
    return Sums(
        count.astype(np.float64),
        np.stack(vector, axis=-1),
        np.bincount(owner, energy, minlength=sizes[0]).astype(np.float64),
        np.bincount(episode, (e**2).sum(axis=1), minlength=sizes[0]).astype(np.float64),
    )


def _checked(
    errors: Array, episodes: Array, contexts: Array, block: int
) -> tuple[Floats, int]:  # fmt: skip
    e = np.asarray(errors, dtype=np.float64)
    e = e[:, None] if e.ndim == 1 else e
    steps = (len(e),)
    if e.ndim != 2 or not e.size or np.shape(episodes) != steps or np.shape(contexts) != steps:
        raise RoboAdvError(
            "an error profile needs errors (T, a), episodes (T,) and contexts (T,), got "
            f"{np.shape(errors)}, {np.shape(episodes)} and {np.shape(contexts)}"
        )
    if not np.isfinite(e).all():
        raise RoboAdvError(
            f"errors must be finite; row {np.argwhere(~np.isfinite(e))[0][0]} is not"
        )
    if block < 1:
        raise RoboAdvError(f"a block has at least one step, got {block}")
    return e, int(block)


def runs_of(*labels: Array) -> Ints:
    """(T,) number of the maximal stretch with equal labels that each step lies in."""
    new = np.zeros(len(labels[0]), dtype=bool)
    for label in labels:
        new[1:] |= label[1:] != label[:-1]
    return np.cumsum(new)


def _blocks(episode: Ints, context: Ints, block: int) -> tuple[Ints, Ints]:
    """The block of each step (T,), and the episode of each block."""
    run = runs_of(episode, context)
    first = np.flatnonzero(np.r_[True, run[1:] != run[:-1]])
    position = np.arange(len(run)) - first[run]
    starts = position % block == 0
    return np.cumsum(starts) - 1, episode[starts]


def weighted_parts(sums: Sums, weight: Floats) -> Floats:
    """The four parts (R, 4) for weights (R, E) of episodes."""
    context = weight @ sums.count
    steps = context.sum(axis=1)
    vector = np.einsum("re,eca->rca", weight, sums.vector)
    systematic = ((vector.sum(axis=1) / steps[:, None]) ** 2).sum(axis=1)
    between = ((vector**2).sum(axis=2) / np.maximum(context, 1e-300)).sum(axis=1) / steps
    blocks, square = weight @ sums.block / steps, weight @ sums.square / steps
    return np.stack(
        [systematic, between - systematic, blocks - between, square - blocks], axis=1
    )  # fmt: skip
