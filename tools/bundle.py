"""Makes the JavaScript bundle in client_js/dist when it is missing or older than its sources.

Called by `make`, and by setup.py for every wheel and sdist: no archive is ever made without the bundle. What the
bundle was built from is remembered as a hash beside it, because times do not survive git, archives and copies.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["BUNDLE", "BundleError", "ensure_bundle"]

BUNDLE = (
    "holdfast.compat.esm.min.js",
    "holdfast.compat.esm.min.js.map",
    "holdfast.compat.min.js",
    "holdfast.compat.min.js.map",
    "holdfast.esm.min.js",
    "holdfast.esm.min.js.map",
    "holdfast.min.js",
    "holdfast.min.js.map",
    "holdfast.msgpack.esm.min.js",
    "holdfast.msgpack.esm.min.js.map",
    "holdfast.msgpack.min.js",
    "holdfast.msgpack.min.js.map",
    "holdfast.session.esm.min.js",
    "holdfast.session.esm.min.js.map",
    "holdfast.socket.esm.min.js",
    "holdfast.socket.esm.min.js.map",
    "holdfast.websocket.esm.min.js",
    "holdfast.websocket.esm.min.js.map",
)

_NOT_SOURCES = {"node_modules", "dist", "test"}
_SUFFIXES = {".js", ".json", ".ts"}


class BundleError(Exception):
    """The bundle is not there and cannot be made; the text is one line that says what to do."""


def ensure_bundle(root: Path) -> bool:
    """Build the bundle of the checkout or unpacked archive at ``root``, unless what is there is up to date.

    Returns:
        Whether something was built.

    Raises:
        BundleError: Something that the build needs is missing, or the build failed.
    """
    client = root / "client_js"
    stamp = client / "dist" / "sources.sha256"
    if not (client / "package.json").is_file():
        raise BundleError(f"the JavaScript client is missing: there is no {client / 'package.json'}")
    wanted = _hash_of_sources(client)
    if stamp.is_file() and stamp.read_text("ascii").strip() == wanted and not _missing(client):
        return False
    npm = shutil.which("npm")
    if npm is None:
        raise BundleError(
            "the JavaScript bundle client_js/dist is missing or out of date, and npm is not installed: "
            "install Node.js 20 or later (Debian: apt-get install nodejs npm), then run this again"
        )
    if not _installed(client):
        _run(client, npm, "ci", "--loglevel=error", "--no-audit", "--no-fund")
    _run(client, npm, "run", "--silent", "--loglevel=error", "build")
    if missing := _missing(client):
        raise BundleError(f"`npm run build` in client_js did not write dist/{missing[0]}")
    stamp.write_text(wanted + "\n", "ascii")
    return True


def _missing(client: Path) -> list[str]:
    return [name for name in (*BUNDLE, "types/index.d.ts") if not (client / "dist" / name).is_file()]


def _hash_of_sources(client: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(_sources(client), key=lambda path: path.relative_to(client).as_posix()):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(client).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _sources(folder: Path) -> list[Path]:
    found: list[Path] = []
    for path in folder.iterdir():
        if path.is_dir():
            if path.name not in _NOT_SOURCES:
                found += _sources(path)
        elif path.suffix in _SUFFIXES:
            found.append(path)
    return found


def _installed(client: Path) -> bool:
    """Whether node_modules is what the lock file asks for; npm writes its own copy of it at the end of an install."""
    lock, installed = client / "package-lock.json", client / "node_modules" / ".package-lock.json"
    return installed.is_file() and installed.stat().st_mtime >= lock.stat().st_mtime


def _run(client: Path, npm: str, *args: str) -> None:
    done = subprocess.run([npm, *args], cwd=client, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise BundleError(f"`npm {' '.join(args)}` in client_js failed; its own message is above")


if __name__ == "__main__":
    try:
        if ensure_bundle(Path(__file__).resolve().parent.parent):
            print("built the JavaScript bundle in client_js/dist")
    except BundleError as error:
        sys.exit(f"holdfast: {error}")
