"""Where the workers of a server meet: a private directory with one socket for each, named after its node.

The workers of one server are processes of one parent, so the directory is named after that, and after what
distinguishes two servers of one application: where it is made, of which class, under which path, which one of these. A
socket appears there when somebody listens on it. One on which nobody does is what a dead worker has left.
"""

from __future__ import annotations

import hashlib
import inspect
import multiprocessing
import os
import socket
import stat
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ...engine.node import is_node_name

__all__ = ["Place", "Prevented", "place_of"]

_PREFIX = "holdfast-"
# Of the address of a Unix socket there are 108 bytes, and 104 on macOS.
_LONGEST = 100
_BACKLOG = 128
# In seconds: what is not listened on so long after it was made never will be.
_ABANDONED = 60.0
_made: Counter[tuple[str, str, str]] = Counter()


class Prevented(OSError):
    """The workers cannot meet; the text says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the workers of one server meet.

    Attributes:
        base: What the directory is in: the application's choice, or None for where the system has such things.
        label: Of the server, among those of the application.
    """

    base: Path | None
    label: str

    def directory(self) -> Path:
        """As it is in this process: a fork has another parent."""
        return _directory_of(self, os.getpid())

    def listen(self, node: str) -> socket.socket:
        """Appear there under this name.

        Raises:
            Prevented: that is not possible, or not safe.
        """
        if not hasattr(socket, "AF_UNIX") or not hasattr(os, "geteuid"):
            raise Prevented("this system has no Unix sockets")
        directory = self.directory()
        path = directory / node
        if len(os.fsencode(path)) > _LONGEST:
            raise Prevented(f"{directory} is too long for the address of a socket")
        for _ in range(10):
            try:
                if self.base is not None:
                    self.base.mkdir(mode=0o700, parents=True, exist_ok=True)
                _check_base(directory.parent)
                _make_private(directory)
                return _listen(path)
            except FileNotFoundError:
                # The last of those who were there has just removed it.
                continue
            except Prevented:
                raise
            except FileExistsError:
                raise Prevented(f"{self.base} is no directory") from None
            except OSError as error:
                raise Prevented(f"{directory}: {error.strerror or error}") from error
        raise Prevented(f"{directory} vanishes again and again")

    def others(self, node: str) -> list[str]:
        """Who else has a socket there."""
        try:
            names = os.listdir(self.directory())
        except OSError:
            return []
        return [name for name in names if name != node and is_node_name(name)]

    def has(self, node: str) -> bool:
        """Whether there is a socket of this node."""
        return (self.directory() / node).exists()

    def connect(self, node: str) -> socket.socket | None:
        """A way to a worker; None if it is not there, and then what it has left is not either."""
        path = self.directory() / node
        found = _connect(path)
        if isinstance(found, socket.socket):
            return found
        if not found:
            with suppress(OSError):
                path.unlink()
        return None

    def leave(self, node: str) -> None:
        """Appear there no more; idempotent."""
        directory = self.directory()
        with suppress(OSError):
            (directory / node).unlink()
        with suppress(OSError):
            # Not while others are there.
            directory.rmdir()

    def tidy(self) -> None:
        """Remove the directories of servers of this user of which nobody is left."""
        own = self.directory()
        if self.base is not None:
            return
        with suppress(OSError):
            for other in own.parent.glob(f"{_PREFIX}{_uid()}-*"):
                if other != own:
                    _remove_if_dead(other)


@lru_cache
def _directory_of(place: Place, pid: int) -> Path:
    if place.base is not None:
        return place.base / (_PREFIX + _short(place.label))
    return _system_base() / f"{_PREFIX}{_uid()}-{_short(place.label, *_parent())}"


def place_of(workers: str | Path | None, *, kind: str, path: str) -> Place | None:
    """Where a server meets its siblings; None if it has none, or is to have none.

    Args:
        workers: The setting.
        kind: The server's class.
        path: Where it answers.
    """
    if workers is None:
        return None
    if workers != "auto":
        return Place(Path(workers), f"{kind} {path}")
    if not _has_siblings():
        return None
    made = (_file_of_caller(), kind, path)
    _made[made] += 1
    return Place(None, " ".join((*made, str(_made[made]))))


def _has_siblings() -> bool:
    """Whether something has started this process to serve beside others: uvicorn, hypercorn and granian do so by
    ``multiprocessing``, gunicorn by a fork."""
    return multiprocessing.parent_process() is not None or _is_gunicorn()


def _is_gunicorn() -> bool:
    return os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn/")


def _parent() -> tuple[str, ...]:
    """Of this process and its siblings alone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        # The key is by chance, and a secret of the family: nobody else can take the name of the directory.
        return str(parent.pid), bytes(multiprocessing.current_process().authkey).hex()
    pid = os.getppid()
    # Since when it runs: its number may have been another's.
    with suppress(OSError, IndexError):
        return str(pid), Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return (str(pid),)


def _file_of_caller() -> str:
    package = __name__.split(".")[0] + "."
    frame = inspect.currentframe()
    while frame is not None and str(frame.f_globals.get("__name__", "")).startswith(package):
        frame = frame.f_back
    return "" if frame is None else os.path.abspath(frame.f_code.co_filename)


def _short(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()[:16]


def _uid() -> int:
    return os.geteuid()


def _system_base() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    with suppress(OSError):
        if runtime and os.stat(runtime).st_uid == _uid():
            return Path(runtime)
    return Path(tempfile.gettempdir())


def _check_base(base: Path) -> None:
    found = base.stat()
    others_write = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if others_write and not found.st_mode & stat.S_ISVTX:
        raise Prevented(f"others may rename what is in {base}")
    if found.st_uid not in (_uid(), 0):
        raise Prevented(f"{base} belongs to another user")


def _make_private(directory: Path) -> None:
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != _uid():
        raise Prevented(f"{directory} belongs to another user")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise Prevented(f"{directory} is open to other users")


def _listen(path: Path) -> socket.socket:
    # Seen by others only when somebody listens: or they would take it for what a dead worker has left.
    hidden = path.with_name("." + path.name)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(hidden))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
        hidden.rename(path)
    except BaseException:
        listener.close()
        with suppress(OSError):
            hidden.unlink()
        raise
    return listener


def _connect(path: Path) -> socket.socket | bool:
    """The connection, or whether there may be somebody all the same."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        connection.connect(str(path))
    except OSError as error:
        connection.close()
        return not isinstance(error, ConnectionRefusedError | FileNotFoundError)
    return connection


def _remove_if_dead(directory: Path) -> None:
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != _uid():
        return
    for path in directory.iterdir():
        if path.name.startswith(".") and time.time() - path.lstat().st_mtime < _ABANDONED:
            return
        answer = _connect(path)
        if isinstance(answer, socket.socket):
            answer.close()
        if answer is not False:
            return
        path.unlink(missing_ok=True)
    directory.rmdir()
