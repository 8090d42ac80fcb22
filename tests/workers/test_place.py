"""Where workers meet: what is private, what is left over, and what says why it cannot be."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.engine.node import NodeName, is_node_name, node_of
from holdfast.transports.workers.place import Place, Prevented, place_of

A, B = "aaaaaaaa", "bbbbbbbb"


def test_nobody_else_may_enter_the_directory_and_the_last_removes_it(base: Path) -> None:
    place = Place(base, "Server /socket.io")
    with place.listen(A), place.listen(B):
        directory = place.directory()
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert place.others(A) == [B]
        assert place.has(A)
        way = place.connect(B)
        assert way is not None
        way.close()
        place.leave(A)
        place.leave(A)
        assert place.others(B) == []
        place.leave(B)
    assert list(base.iterdir()) == []


def test_servers_of_another_class_or_path_meet_elsewhere(base: Path) -> None:
    def directory(kind: str, path: str) -> Path:
        place = place_of(str(base), kind=kind, path=path)
        assert place is not None
        return place.directory()

    places = {directory(kind, path) for kind in ("Server", "Engine") for path in ("/a", "/b")}
    assert len(places) == 4
    assert directory("Server", "/a") in places


def test_one_process_meets_nobody_unless_it_is_told_where(base: Path) -> None:
    assert place_of("auto", kind="Server", path="/") is None
    assert place_of(None, kind="Server", path="/") is None
    assert place_of(base, kind="Server", path="/") is not None


def test_what_a_dead_worker_has_left_is_removed_by_who_comes_upon_it(base: Path) -> None:
    place = Place(base, "x")
    place.listen(A).close()
    assert place.others(B) == [A]
    assert place.connect(A) is None
    assert place.others(B) == []
    assert place.connect("cccccccc") is None


def test_worker_that_has_no_time_for_more_connections_is_not_taken_for_dead(base: Path) -> None:
    place = Place(base, "x")
    ways = list[socket.socket]()
    with place.listen(A):
        for _ in range(1000):
            way = place.connect(A)
            if way is None:
                break
            ways.append(way)
        assert len(ways) < 1000
        assert place.has(A)
    for way in ways:
        way.close()


def test_name_that_could_lead_elsewhere_is_none(base: Path) -> None:
    place = Place(base, "x")
    with place.listen(A):
        for name in (".aaaaaaa", "../../xx", "toolong-x", "short"):
            (place.directory() / name.replace("/", "_")).touch()
        assert place.others(B) == [A]


@pytest.mark.parametrize("what", ["open", "a link", "a file"])
def test_directory_that_others_may_have_made_is_not_entered(base: Path, what: str) -> None:
    place = Place(base, "x")
    directory = place.directory()
    if what == "open":
        directory.mkdir()
        directory.chmod(0o755)
    elif what == "a link":
        (base / "target").mkdir(mode=0o700)
        directory.symlink_to(base / "target")
    else:
        directory.touch()
    with pytest.raises(Prevented, match="open to other users" if what == "open" else "another user"):
        place.listen(A)


def test_base_in_which_others_may_rename_is_not_used(base: Path) -> None:
    (base / "open").mkdir()
    (base / "open").chmod(0o777)
    with pytest.raises(Prevented, match="others may rename"):
        Place(base / "open", "x").listen(A)
    (base / "open").chmod(0o1777)
    place = Place(base / "open", "x")
    place.listen(A).close()
    place.leave(A)


def test_directory_of_another_user_is_not_entered(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(base, "x")
    place.directory().mkdir(mode=0o700)
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    with pytest.raises(Prevented, match="belongs to another user"):
        place.listen(A)
    assert list(place.directory().iterdir()) == []


def test_path_that_is_too_long_and_base_that_cannot_be_are_said(base: Path) -> None:
    with pytest.raises(Prevented, match="too long"):
        Place(base / ("x" * 90), "x").listen(A)
    (base / "file").touch()
    with pytest.raises(Prevented, match="file"):
        Place(base / "file" / "x", "x").listen(A)
    with pytest.raises(Prevented, match="file is no directory"):
        Place(base / "file", "x").listen(A)


def test_process_that_forks_off_has_a_name_of_its_own() -> None:
    name = NodeName()
    mine = str(name)
    assert is_node_name(mine)
    assert str(name) == mine
    forks = subprocess.run([sys.executable, "-c", _FORKS], capture_output=True, text=True, check=True)
    parent, child, again = forks.stdout.split()
    assert is_node_name(child)
    assert child != parent == again
    assert node_of(mine + "x" * 24) == mine
    assert node_of("ü" * 32) == node_of("short") == ""


def test_system_without_unix_sockets_is_told_apart(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_UNIX")
    with pytest.raises(Prevented, match="no Unix sockets"):
        Place(base, "x").listen(A)


_FORKS = """
import os
from holdfast.engine.node import NodeName

name = NodeName()
print(name, flush=True)
if os.fork() == 0:
    print(name, flush=True)
    os._exit(0)
os.wait()
print(name)
"""

_FAMILY = """
import multiprocessing, os, sys
from holdfast.engine.node import NodeName, is_node_name, node_of
from holdfast.transports.workers.place import place_of

def child(answers, kill):
    place = place_of("auto", kind="Server", path="/")
    place.tidy()
    listener = place.listen("cccccc%02d" % (os.getpid() % 100))
    answers.put(str(place.directory()))
    if kill:
        os._exit(0)
    place.leave("cccccc%02d" % (os.getpid() % 100))

if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    for kill in (True, True, True):
        process = context.Process(target=child, args=(answers, sys.argv[1] == "die"))
        process.start()
        process.join()
        print(answers.get())
"""


def test_children_of_one_parent_meet_and_the_next_family_removes_what_they_left(base: Path) -> None:
    script = base / "family.py"
    script.write_text(_FAMILY)

    def family(how: str) -> set[str]:
        done = subprocess.run(
            [sys.executable, str(script), how],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "XDG_RUNTIME_DIR": str(base)},
        )
        return set(done.stdout.split())

    (first,) = family("die")
    assert Path(first).parent == base
    assert len(list(Path(first).iterdir())) >= 1
    (second,) = family("leave")
    assert second != first
    script.unlink()
    assert list(base.iterdir()) == []
