"""The ``static_files`` of `ASGIApp`: files and folders by path."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

__all__ = ["StaticFile", "find_static_file"]

Entry = str | Mapping[str, str]


class StaticFile(NamedTuple):
    """What is served; with None the content type follows from the name."""

    filename: str
    content_type: str | None


def find_static_file(path: str, files: Mapping[str, Entry]) -> StaticFile | None:
    """The file of a path, if it exists.

    A key is a path, and its value a file; or the beginning of paths, and its value a folder. In a folder a path with a
    slash at its end is ``index.html``, or what the key ``""`` names. A value may also be a dict with ``filename`` and
    ``content_type``.
    """
    found = next(((files[key], rest) for key, rest in _splits(path) if key in files), None)
    if found is None:
        return None
    entry, rest = found
    filename = entry if isinstance(entry, str) else entry["filename"]
    content_type = None if isinstance(entry, str) else entry.get("content_type")
    if "\0" in rest or ".." in rest.replace("\\", "/").split("/"):
        return None
    if rest:
        filename = filename.removesuffix("/") + "/" + rest.lstrip("/")
    if filename.endswith("/"):
        index = files.get("", "index.html")
        filename += index if isinstance(index, str) else index["filename"]
    return StaticFile(filename, content_type) if os.path.isfile(filename) else None


def _splits(path: str) -> Iterator[tuple[str, str]]:
    """A path as key and rest, the longest key first; a key may be written with a slash at its end."""
    yield path, ""
    at = len(path)
    while (at := path.rfind("/", 0, at)) >= 0:
        yield path[: at + 1], path[at + 1 :]
        if at > 0:
            yield path[:at], path[at:]
