"""The JavaScript client as `npm publish` would ship it: packed once, installed in a folder that has nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["CLIENT", "RUNTIMES", "add_program", "install", "npm", "pack"]

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "client_js"
RUNTIMES = ROOT / "tests" / "runtimes"


def npm(folder: Path, *arguments: str) -> str:
    """Run npm, and return what it printed."""
    command = shutil.which("npm")
    assert command is not None
    done = subprocess.run(
        [command, *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pack(folder: Path) -> Path:
    """The tarball; what is in it is built anew if a source has changed. (npm's own script always does.)"""
    subprocess.run([sys.executable, ROOT / "tools" / "bundle.py"], check=True, stdout=subprocess.DEVNULL)
    npm(CLIENT, "pack", "--silent", "--ignore-scripts", "--pack-destination", str(folder))
    [tarball] = folder.glob("holdfast-client-*.tgz")
    return tarball


def install(tarball: Path, folder: Path) -> Path:
    """An application that depends on the client alone; the folder."""
    folder.mkdir()
    application = {"name": "application", "private": True, "type": "module"}
    (folder / "package.json").write_text(json.dumps(application))
    npm(folder, "install", "--offline", "--no-audit", "--no-fund", "--omit=peer", "--silent", str(tarball))
    assert [path.name for path in (folder / "node_modules").iterdir() if path.name[0] != "."] == [
        "holdfast-client"
    ]
    return folder


def add_program(application: Path, name: str, *modules: str) -> Path:
    """Put a program of `tests/runtimes` into an application, and beside it what it needs besides the client."""
    for module in modules:
        link = application / "node_modules" / module
        link.parent.mkdir(exist_ok=True)
        if not link.exists():
            link.symlink_to(RUNTIMES / "node_modules" / module)
    return Path(shutil.copy2(RUNTIMES / name, application / name))
