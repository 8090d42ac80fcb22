"""Programs for Node in tests, with our client, the official one and `ws` at hand."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

__all__ = ["node_command", "run_program"]

_ROOT = Path(__file__).parents[2]


def node_command(program: str, **values: object) -> list[str]:
    """The command that runs it: ``ROOT`` in it becomes the URL of the repository, each other name its value as JSON."""
    node = shutil.which("node")
    assert node is not None
    program = program.replace("ROOT", _ROOT.as_uri())
    for name, value in values.items():
        program = program.replace(name, json.dumps(value))
    return [node, "--input-type=module", "--eval", program]


def run_program(program: str, *, timeout: float = 50, **values: object) -> Any:
    """What it prints, which is JSON. It must end well."""
    command = node_command(program, **values)
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
