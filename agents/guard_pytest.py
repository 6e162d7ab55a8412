"""What an exported test suite calls: questions to a guard, answered in pytest's terms.

The suite's own file is a thin layer over this module, so that fixes reach users by upgrading. pytest
is imported only when a suite runs: nothing else needs it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path

from robo_adv.agents.guard import Finding, Guard, Settings
from robo_adv.errors import RoboAdvError


class Notice(UserWarning):
    """What a test that passes has to say; shown in pytest's summary of warnings."""


def opened(folder: Path) -> Guard:
    """The suite in `folder`, under the settings of the environment variables; a broken one fails the
    collection of tests with one line."""
    __tracebackhide__ = True
    import pytest

    try:
        return Guard(folder, Settings.of(os.environ))
    except RoboAdvError as error:
        problem = str(error)
    pytest.fail(f"robo_adv: {problem}", pytrace=False)


def check(ask: Callable[[str], Finding], name: str) -> None:
    """Ask a guard, and pass, fail, skip or xfail the running test."""
    __tracebackhide__ = True
    import pytest

    try:
        with warnings.catch_warnings():  # where warnings are errors, MuJoCo's own should not be
            warnings.filterwarnings("ignore", "Attaching a spec with an empty prefix")
            finding = ask(name)
    except RoboAdvError as error:
        finding = Finding("fails", f"robo_adv: {error}")
    if finding.verdict == "fails":
        pytest.fail(f"{name}: {finding.text}", pytrace=False)
    elif finding.verdict == "known":
        pytest.xfail(finding.text)
    elif finding.verdict in ("undecided", "untested"):
        pytest.skip(finding.text)
    elif finding.notice:
        warnings.warn(Notice(f"{name}: {finding.text}"), stacklevel=2)
