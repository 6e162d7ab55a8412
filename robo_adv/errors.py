"""Errors that tell a user what was got, what was expected, what exists and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RoboAdvError(Exception):
    """A user's mistake: the command line prints its text as one line and exits with 2."""


class BundleError(RoboAdvError):
    """A policy bundle that is refused: broken, edited, unsafe, or made for something else."""


class UnknownNameError(RoboAdvError):
    """A name that no registry holds."""


class DependencyError(RoboAdvError):
    """An optional dependency or a system library is missing."""


def unknown(kind: str, got: str, known: Iterable[str], hint: str = "") -> UnknownNameError:
    """The error for a name that does not exist: close matches first, then all that exist."""
    names = sorted(known)
    close = difflib.get_close_matches(got, names, n=3, cutoff=0.5)
    text = f"unknown {kind} {got!r}"
    if close:
        text += "; did you mean " + " or ".join(repr(name) for name in close) + "?"
    text += f" (known: {', '.join(names) if names else 'none'})"
    return UnknownNameError(f"{text} {hint}".rstrip())
