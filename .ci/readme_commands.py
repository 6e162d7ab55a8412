"""Runs the `robo-adv` commands of a README, in order, in one temporary folder.

Lines of ```bash blocks that start with `robo-adv` are run, unless they end in `# long`; a
backslash continues a line. The first command that fails ends it with that command's exit code.

Usage: python readme_commands.py README.md
"""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TIMEOUT = 300.0  # [s] per command


def commands(text: str) -> list[str]:
    """The commands to run, in order."""
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    found = [line.strip() for line in lines if re.match(r"robo-adv(\s|$)", line)]
    return [line for line in found if not re.search(r"#\s*long$", line)]


def run(command: str, folder: str) -> int:
    """Run one command and say how long it took; its output is shown as it comes."""
    print(f"$ {command}", flush=True)
    start = time.monotonic()
    try:
        code = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=folder, stdin=subprocess.DEVNULL, timeout=TIMEOUT, check=False,
        ).returncode  # fmt: skip
    except subprocess.TimeoutExpired:
        print(f"no end within {TIMEOUT:g} s; mark the line with `# long` if that is right")
        return 124
    print(f"[exit code {code}, {time.monotonic() - start:.1f} s]", flush=True)
    return code


def main() -> int:
    found = commands(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if not found:
        print("no `robo-adv` command to run was found in a ```bash block")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        return next((code for command in found if (code := run(command, folder))), 0)


if __name__ == "__main__":
    sys.exit(main())
