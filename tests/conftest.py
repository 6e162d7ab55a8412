"""Shared by all tests: helpers of one folder (`contracts.checks`) can be imported by another."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
torch.set_num_threads(1)  # two cores are shared with the physics; more threads only slow tests down
