"""The packages: `envs/`, `agents/` and `assets/` stand beside `robo_adv/` and install inside it."""

from pathlib import Path

from setuptools import find_packages, setup

FOLDERS = {
    "robo_adv": "robo_adv",
    "robo_adv.envs": "envs",
    "robo_adv.agents": "agents",
    "robo_adv.assets": "assets",
}
# `make setup` links robo_adv/envs to ../envs and so on; the links must not be found as well.
LINKS = [pattern for name in ("envs", "agents", "assets") for pattern in (name, f"{name}.*")]


def packages(name: str, folder: str) -> list[str]:
    """The package `name` that lies in `folder`, and all packages below it."""
    root = str(Path(__file__).parent / folder)
    below = find_packages(root, exclude=LINKS if name == "robo_adv" else [])
    return [name, *(f"{name}.{package}" for package in below)]


setup(
    package_dir=FOLDERS,
    packages=[package for name, folder in FOLDERS.items() for package in packages(name, folder)],
)
