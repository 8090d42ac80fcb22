from __future__ import annotations

import struct
import zlib
from typing import Any

import pytest
from example_events import EXAMPLES, Guest, Scene

pytestmark = pytest.mark.anyio

ADA, GRACE = "ada-" * 5, "grace-" * 4
RED = bytes((7, 214, 58, 58))
HEAD = struct.Struct("<III4s")


@pytest.fixture
def scene() -> Scene:
    return Scene("whiteboard")


def nonce(number: int) -> str:
    return f"nonce-{number:016}"


def stroke(*points: int, style: bytes = RED) -> bytes:
    return style + struct.pack(f"<{len(points)}h", *points)


def png(width: int, height: int, *, more: int = 0) -> bytes:
    """A real picture, with some more bytes in a chunk that means nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(b"".join(b"\0" + b"\x40\x80\xff" * width for _ in range(height)))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"noNe", bytes(more)) + chunk(b"IEND", b"")
    )


def jpeg_head(width: int, height: int) -> bytes:
    table = b"\xff\xdb\x00\x04\0\0"
    return (
        b"\xff\xd8"
        + table
        + b"\xff\xc0\x00\x0b\x08"
        + struct.pack(">HH", height, width)
        + b"\x01\x01\x11\x00"
    )


PLACE = struct.pack("<4h", 10, 20, 300, 200)


def items(packed: bytes) -> list[tuple[int, int, bytes, bytes]]:
    """Id, author, style and rest of each."""
    found: list[tuple[int, int, bytes, bytes]] = []
    at = 0
    while at < len(packed):
        id, author, size, style = HEAD.unpack_from(packed, at)
        at += HEAD.size + size
        found.append((id, author, style, packed[at - size : at]))
    return found


async def enter(scene: Scene, key: str) -> tuple[Guest, int, bytes]:
    """Somebody who has come, their number, and the board that they found."""
    guest = await scene.guest(key=key)
    author, packed = await guest.hear("board")
    await guest.hear("people")
    return guest, author, packed


async def test_a_stroke_reaches_everybody_as_it_was_packed(scene: Scene) -> None:
    ada, author, _ = await enter(scene, ADA)
    grace, other, _ = await enter(scene, GRACE)
    assert author != other
    assert await ada.hear("people") == [sorted([author, other])]
    points = (1, 2, -30, 400, 32767, -32768)
    id = await ada.ask("stroke", nonce(1), stroke(*points))
    for guest in (ada, grace):
        [packed] = await guest.hear("item")
        assert items(packed) == [(id, author, RED, struct.pack("<6h", *points))]


async def test_who_comes_late_gets_the_whole_board_at_once(scene: Scene) -> None:
    ada, author, empty = await enter(scene, ADA)
    assert empty == b""
    first = await ada.ask("stroke", nonce(1), stroke(1, 1, 2, 2))
    picture = PLACE + png(3, 2)
    second = await ada.ask("picture", nonce(2), picture)
    _, _, board = await enter(scene, GRACE)
    assert items(board) == [
        (first, author, RED, struct.pack("<4h", 1, 1, 2, 2)),
        (second, author, bytes(4), picture),
    ]


async def test_what_is_drawn_while_somebody_comes_is_not_missed(scene: Scene) -> None:
    ada, _, _ = await enter(scene, ADA)
    ada.emit("stroke", nonce(1), stroke(1, 1))
    grace, _, board = await enter(scene, GRACE)
    drawn = await ada.ask("stroke", nonce(1), stroke(1, 1))
    # It was on the board already, or it comes as an event, or both.
    heard = b"".join(args[0] for name, *args in grace.all_heard() if name == "item")
    assert drawn in {id for id, *_ in items(board + heard)}


async def test_undo_takes_ones_own_last_stroke_and_nobody_elses(scene: Scene) -> None:
    ada, _, _ = await enter(scene, ADA)
    grace, _, _ = await enter(scene, GRACE)
    first = await ada.ask("stroke", nonce(1), stroke(1, 1))
    second = await ada.ask("stroke", nonce(2), stroke(2, 2))
    hers = await grace.ask("stroke", nonce(1), stroke(3, 3))
    assert await ada.ask("undo") == second
    assert await grace.hear("removed") == [second]
    assert await ada.ask("undo") == first
    assert await ada.refused("undo") == "NOTHING_TO_UNDO"
    _, _, board = await enter(scene, "late-" * 4)
    assert [id for id, *_ in items(board)] == [hers]


async def test_who_comes_back_is_the_same_author(scene: Scene) -> None:
    ada, author, _ = await enter(scene, ADA)
    grace, other, _ = await enter(scene, GRACE)
    drawn = await ada.ask("stroke", nonce(1), stroke(1, 1))
    ada.leave()
    assert await grace.hear("people") == [[other]]
    again, same, _ = await enter(scene, ADA)
    assert same == author
    # What was not acknowledged is drawn again, and is there once.
    assert await again.ask("stroke", nonce(1), stroke(1, 1)) == drawn
    assert len(scene.events.board) == 1
    assert await again.ask("undo") == drawn


async def test_clear_takes_everything_away(scene: Scene) -> None:
    ada, author, _ = await enter(scene, ADA)
    grace, _, _ = await enter(scene, GRACE)
    await ada.ask("stroke", nonce(1), stroke(1, 1))
    await grace.ask("clear")
    assert await ada.hear("cleared") != [author]
    assert scene.events.online() == {"people": 2, "items": 0, "bytes": 0}


async def test_cursors_and_pieces_reach_the_others_and_are_not_kept(scene: Scene) -> None:
    ada, author, _ = await enter(scene, ADA)
    grace, _, _ = await enter(scene, GRACE)
    ada.all_heard()
    await ada.ask("cursor", struct.pack("<2h", 5, 6))
    await ada.ask("drawing", stroke(1, 1, 2, 2))
    await ada.ask("cursor", b"")
    assert grace.all_heard() == [
        ["cursor", author, struct.pack("<2h", 5, 6)],
        ["drawing", author, stroke(1, 1, 2, 2)],
        ["cursor", author, b""],
    ]
    assert ada.all_heard() == []
    assert len(scene.events.board) == 0


async def test_a_full_board_says_so_and_works_again_after_an_undo(scene: Scene) -> None:
    ada, _, _ = await enter(scene, ADA)
    for number in range(2000):
        await ada.ask("stroke", nonce(number), stroke(number, 1))
    assert await ada.refused("stroke", nonce(2000), stroke(1, 1)) == "BOARD_FULL"
    await ada.ask("undo")
    assert await ada.ask("stroke", nonce(2000), stroke(1, 1)) == 2001


async def test_pictures_fill_the_board_by_their_bytes(scene: Scene) -> None:
    ada, _, _ = await enter(scene, ADA)
    picture = PLACE + png(2, 2, more=290_000)
    for number in range(6):
        await ada.ask("picture", nonce(number), picture)
    assert await ada.refused("picture", nonce(6), picture) == "BOARD_FULL"
    _, _, board = await enter(scene, GRACE)
    assert len(board) == scene.events.board.size_bytes > 1_700_000


@pytest.mark.parametrize(
    ("event", "arguments", "code"),
    [
        ("stroke", [nonce(1), "a text"], "INVALID"),
        ("stroke", [nonce(1), [7, 0, 0, 0, 1, 1]], "INVALID"),
        ("stroke", [nonce(1), b""], "INVALID"),
        ("stroke", [nonce(1), RED], "INVALID"),
        ("stroke", [nonce(1), RED + b"\1\2\3"], "INVALID"),
        ("stroke", [nonce(1), stroke(1, 2, 3)], "INVALID"),
        ("stroke", [nonce(1), stroke(1, 2, style=bytes((0, 1, 1, 1)))], "INVALID"),
        ("stroke", [nonce(1), stroke(1, 2, style=bytes((65, 1, 1, 1)))], "INVALID"),
        ("stroke", [nonce(1), stroke(*[0] * 4002)], "TOO_LARGE"),
        ("stroke", ["short", stroke(1, 2)], "INVALID"),
        ("stroke", [{}, stroke(1, 2)], "INVALID"),
        ("stroke", [stroke(1, 2)], "wrong arguments"),
        ("picture", [nonce(1), None], "INVALID"),
        ("picture", [nonce(1), PLACE], "INVALID"),
        ("picture", [nonce(1), PLACE + b"<svg onload=alert(1)>"], "NOT_A_PICTURE"),
        ("picture", [nonce(1), PLACE + b"\x89PNG\r\n\x1a\n"], "NOT_A_PICTURE"),
        ("picture", [nonce(1), PLACE + b"\xff\xd8\xff"], "NOT_A_PICTURE"),
        ("picture", [nonce(1), PLACE + b"\xff\xd8\xff\xe0\0\0" * 50_000], "NOT_A_PICTURE"),
        (
            "picture",
            [nonce(1), PLACE + png(2, 2)[:16] + struct.pack(">II", 60_000, 60_000) + bytes(99)],
            "TOO_LARGE",
        ),
        ("picture", [nonce(1), PLACE + jpeg_head(60_000, 4)], "TOO_LARGE"),
        ("picture", [nonce(1), PLACE + png(2, 2, more=300_001)], "TOO_LARGE"),
    ],
)
async def test_garbage_is_refused_and_harms_nobody(
    scene: Scene, event: str, arguments: list[Any], code: str
) -> None:
    ada, _, _ = await enter(scene, ADA)
    mallory, _, _ = await enter(scene, "mallory-" * 2)
    ada.all_heard()
    assert await mallory.refused(event, *arguments) == code
    for nonsense in ("text", 5, None, [], bytes(5), bytes(100_000)):
        await mallory.ask("cursor", nonsense)
        await mallory.ask("drawing", nonsense)
    assert ada.all_heard() == []
    assert len(scene.events.board) == 0
    assert await ada.ask("stroke", nonce(1), stroke(1, 1)) == 1


async def test_a_jpeg_is_a_picture(scene: Scene) -> None:
    ada, _, _ = await enter(scene, ADA)
    assert await ada.ask("picture", nonce(1), PLACE + jpeg_head(640, 480)) == 1


@pytest.mark.parametrize("auth", [{}, {"key": "short"}, {"key": 12345678901234567890}, {"key": ["x" * 20]}])
async def test_a_page_without_a_key_is_refused(scene: Scene, auth: dict[str, object]) -> None:
    assert (await scene.refusal(**auth))["data"] == {"code": "INVALID_KEY"}


async def test_more_people_than_fit_are_refused(scene: Scene) -> None:
    for number in range(50):
        await scene.guest(key=f"guest-{number:016}")
    assert (await scene.refusal(key=ADA))["data"] == {"code": "FULL"}


def test_page_and_server_agree_on_the_limits() -> None:
    board = (EXAMPLES / "whiteboard" / "board.py").read_text()
    page = (EXAMPLES / "whiteboard" / "static" / "packing.js").read_text()
    for server, client in (
        ("MAX_POINTS = 2000\n", "MAX_POINTS = 2000;"),
        ("MAX_PICTURE_BYTES = 300_000\n", "MAX_PICTURE = 300_000;"),
    ):
        assert server in board
        assert client in page
