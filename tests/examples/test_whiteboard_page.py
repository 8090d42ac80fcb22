"""The whiteboard in a real browser: one body of tests for both frameworks and both clients."""

from __future__ import annotations

from pathlib import Path

import pytest
from example_outage import tunnel_to
from example_pages import CLIENTS, FRAMEWORKS, Visitors, connected, start_example
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.servers, pytest.mark.timeout(120)]

PASTE = """async () => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 60, height: 40 });
  const context = canvas.getContext("2d");
  context.fillStyle = "rgb(10 200 30)";
  context.fillRect(0, 0, 60, 40);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve));
  const clipboardData = new DataTransfer();
  clipboardData.items.add(new File([blob], "green.png", { type: "image/png" }));
  dispatchEvent(new ClipboardEvent("paste", { clipboardData }));
}"""
PIXEL = """([id, x, y]) => [...document.getElementById(id).getContext("2d").getImageData(x, y, 1, 1).data].join()"""


def place(page: Page, point: tuple[float, float]) -> tuple[float, float]:
    """Where a point of the board is in the window."""
    box = page.locator("#sketch").bounding_box()
    assert box is not None
    return box["x"] + point[0] * box["width"] / 1600, box["y"] + point[1] * box["height"] / 1000


def draw(page: Page, *points: tuple[float, float], lift: bool = True) -> None:
    """With the mouse; 0 to 1600 and 0 to 1000."""
    page.mouse.move(*place(page, points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*place(page, point), steps=5)
    if lift:
        page.mouse.up()


def has_colour(page: Page, canvas: str, point: tuple[int, int], colour: str) -> None:
    """Wait until a canvas has this colour at a point; "0,0,0,0" is nothing."""
    page.wait_for_function(f"(at) => ({PIXEL})(at) === {colour!r}", arg=[canvas, *point])


def picture_of(page: Page) -> str:
    return page.evaluate("document.getElementById('board').toDataURL()")


def shows(page: Page, strokes: str, pictures: str) -> None:
    expect(page.locator("#facts")).to_contain_text(f"{strokes}, {pictures}:")


INK, RED, GREEN, NOTHING = "27,36,38,255", "214,58,58,255", "10,200,30,255", "0,0,0,0"


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_two_people_draw(visitors: Visitors, framework: str, client: str, tmp_path: Path) -> None:
    with start_example("whiteboard", framework) as server:
        ada, grace = visitors.open(server.url, client), visitors.open(server.url, client)
        for page in (ada, grace):
            expect(page.get_by_label("People").locator("li")).to_have_count(2)

        # While it is drawn it is seen, and who draws it; then it is on the board.
        draw(ada, (200, 300), (700, 300), lift=False)
        x, y = place(ada, (700, 300))
        for step in range(200):
            # A piece may be lost, and the next one shows where the pen is now.
            ada.mouse.move(x + 4 * (step % 2), y)
            if grace.evaluate(PIXEL, ["sketch", 699, 300]) == INK:
                break
        else:
            pytest.fail("nobody sees what is being drawn")
        has_colour(grace, "board", (400, 300), NOTHING)
        expect(grace.locator(".cursor")).to_have_count(1)
        ada.mouse.up()
        for page in (ada, grace):
            has_colour(page, "board", (400, 300), INK)
            has_colour(page, "sketch", (400, 300), NOTHING)
            shows(page, "1 stroke", "0 pictures")

        grace.get_by_role("radio", name="Red").check(force=True)
        grace.get_by_role("radio", name="Very broad").check(force=True)
        draw(grace, (1000, 200), (1000, 700))
        has_colour(ada, "board", (985, 400), RED)

        ada.evaluate(PASTE)
        for page in (ada, grace):
            shows(page, "2 strokes", "1 picture")
        # It lies where its author pointed last.
        has_colour(grace, "board", (700, 290), GREEN)
        has_colour(ada, "board", (700, 290), GREEN)

        late = visitors.open(server.url, client)
        has_colour(late, "board", (700, 290), GREEN)
        assert picture_of(late) == picture_of(ada) == picture_of(grace)
        expect(ada.get_by_label("People").locator("li")).to_have_count(3)

        with ada.expect_download() as downloading:
            ada.get_by_role("button", name="Save").click()
        saved = downloading.value.path().read_bytes()
        assert saved.startswith(b"\x89PNG\r\n\x1a\n")

        ada.get_by_role("button", name="Undo").click()
        for page in (ada, grace, late):
            shows(page, "2 strokes", "0 pictures")
            has_colour(page, "board", (700, 290), NOTHING)
        ada.keyboard.press("Control+z")
        for page in (ada, grace, late):
            shows(page, "1 stroke", "0 pictures")
        ada.get_by_role("button", name="Undo").click()
        expect(ada.locator("#problem")).to_have_text("Nothing of yours is on the board.")
        wrong = tmp_path / "wrong.png"
        wrong.write_text("no picture at all")
        late.locator("#file").set_input_files(wrong)
        expect(late.locator("#problem")).to_contain_text("not a picture")

        # What was made in another program arrives however large it is.
        ada.locator("#file").set_input_files({"name": "saved.png", "mimeType": "image/png", "buffer": saved})
        shows(grace, "1 stroke", "1 picture")

        late.close()
        expect(ada.get_by_label("People").locator("li")).to_have_count(2)
        grace.on("dialog", lambda dialog: dialog.accept())
        grace.get_by_role("button", name="Clear").click()
        for page in (ada, grace):
            expect(page.locator("#facts")).to_contain_text("Draw something")
            has_colour(page, "board", (985, 400), NOTHING)
        assert ada.request.get(f"{server.url}/online").json() == {"people": 2, "items": 0, "bytes": 0}
        assert visitors.hosts == {server.address}


@pytest.mark.parametrize("client", CLIENTS)
def test_what_is_drawn_without_a_network_is_on_the_board_once(visitors: Visitors, client: str) -> None:
    with start_example("whiteboard") as server, tunnel_to(server) as tunnel:
        ada = visitors.open(tunnel.address, client)
        grace = visitors.open(server.url, "official" if client == "holdfast" else "holdfast")
        draw(ada, (200, 300), (700, 300))
        shows(grace, "1 stroke", "0 pictures")

        tunnel.close()
        draw(ada, (200, 500), (700, 500))
        draw(grace, (200, 700), (700, 700))
        # Its author sees it meanwhile.
        has_colour(ada, "sketch", (400, 500), INK)
        has_colour(ada, "board", (400, 500), NOTHING)
        tunnel.open()
        for page in (ada, grace):
            shows(page, "3 strokes", "0 pictures")
            for y in (300, 500, 700):
                has_colour(page, "board", (400, y), INK)
        connected(ada)
        has_colour(ada, "sketch", (400, 500), NOTHING)
        expect(grace.get_by_label("People").locator("li")).to_have_count(2)
