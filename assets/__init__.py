"""Data that ships with robo_adv (model parts, bundles, level suites): import as `robo_adv.assets`."""

from pathlib import Path

ZOO = Path(__file__).parent / "zoo"
MJCF = Path(__file__).parent / "mjcf"
SUITES = Path(__file__).parent / "suites"
