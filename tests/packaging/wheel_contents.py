"""Compares a wheel with the source tree: a subpackage that the wheel lacks still works editable.

Usage: python wheel_contents.py dist/robo_adv-*.whl
"""

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
INSTALLED = {
    "robo_adv": "robo_adv",
    "envs": "robo_adv/envs",
    "agents": "robo_adv/agents",
    "assets": "robo_adv/assets",
}


def expected(root: Path) -> set[str]:
    """Where each source file of the tree belongs in the wheel."""
    files = set()
    for folder, installed in INSTALLED.items():
        for path in (root / folder).rglob("*"):
            part = path.relative_to(root / folder)
            linked = folder == "robo_adv" and part.parts[0] in INSTALLED
            hidden = any(p.startswith(".") or p == "__pycache__" for p in part.parts)
            if path.is_file() and not linked and not hidden:
                files.add(f"{installed}/{part.as_posix()}")
    return files


def contents(wheel: Path) -> list[str]:
    """The files of the wheel, less its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        return [name for name in archive.namelist() if ".dist-info/" not in name]


def difference(wheel: Path, root: Path = ROOT) -> list[str]:
    """One line for each file that is missing, not in the tree, or there twice."""
    inside = contents(wheel)
    wanted = expected(root)
    return [
        *(f"missing from the wheel: {name}" for name in sorted(wanted - set(inside))),
        *(f"not in the tree: {name}" for name in sorted(set(inside) - wanted)),
        *(f"more than once: {name}" for name in sorted(set(inside)) if inside.count(name) > 1),
    ]


if __name__ == "__main__":
    lines = difference(Path(sys.argv[1]))
    print("\n".join(lines) or f"the wheel holds the tree's {len(expected(ROOT))} files")
    sys.exit(bool(lines))
