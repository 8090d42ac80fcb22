"""What a server is called among others."""

from __future__ import annotations

import os
import re
import secrets

__all__ = ["NODE_LENGTH", "NodeName", "is_node_name", "node_of"]

NODE_LENGTH = 8
_NAME = re.compile(rf"[A-Za-z0-9_-]{{{NODE_LENGTH}}}")


class NodeName:
    """The name of one server in one process, by chance; another one in each process that forks off.

    The ids of its sessions begin with it, so that whoever gets a request for one knows whose it is.
    """

    __slots__ = ("_name", "_pid")

    def __init__(self) -> None:
        self._name = ""
        self._pid = 0

    def __str__(self) -> str:
        pid = os.getpid()
        if pid != self._pid:
            self._name, self._pid = secrets.token_urlsafe(NODE_LENGTH * 3 // 4), pid
        return self._name


def is_node_name(name: str) -> bool:
    """Whether it has the form of one, and so may be a part of a path."""
    return _NAME.fullmatch(name) is not None


def node_of(sid: str) -> str:
    """The name that a session's id begins with; empty if it cannot be one."""
    name = sid[:NODE_LENGTH]
    return name if is_node_name(name) else ""
