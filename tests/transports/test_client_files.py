from __future__ import annotations

import gzip
from pathlib import Path

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from holdfast.transports.client_files import CLIENT_FILES, respond

SCRIPT = b"const io = () => {};\n" * 40


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    for name in CLIENT_FILES:
        (tmp_path / name).write_bytes(SCRIPT if name.endswith(".js") else b"{}")
    return tmp_path


def app(folder: Path) -> ASGIApp:
    """What the real app does: the last part of the path is the name, whatever it holds."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(scope, receive, send, scope["path"].removeprefix("/socket.io/"), folder=folder)

    return serve


async def ask(folder: Path, name: str, method: str = "GET", **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=app(folder))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        named = {"accept-encoding": "identity"} | {
            key.replace("_", "-"): value for key, value in headers.items()
        }
        return await client.request(method, f"/socket.io/{name}", headers=named)


async def test_every_file_is_served_with_its_type_and_for_revalidation(dist: Path) -> None:
    for name, content_type in CLIENT_FILES.items():
        answer = await ask(dist, name)
        assert answer.status_code == 200
        assert answer.content == (dist / name).read_bytes()
        assert answer.headers["content-type"] == content_type
        assert answer.headers["cache-control"] == "public, max-age=0"
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_browser_that_has_the_file_gets_304_without_a_body(dist: Path) -> None:
    etag = (await ask(dist, "holdfast.min.js")).headers["etag"]
    for condition in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = await ask(dist, "holdfast.min.js", if_none_match=condition)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag
    assert (await ask(dist, "holdfast.min.js", if_none_match='"other"')).status_code == 200


async def test_gzip_has_a_tag_of_its_own_and_the_same_content(dist: Path) -> None:
    plain = await ask(dist, "holdfast.min.js")
    zipped = await ask(dist, "holdfast.min.js", accept_encoding="gzip, br")
    assert zipped.headers["content-encoding"] == "gzip"
    assert zipped.headers["vary"] == "Accept-Encoding"
    assert int(zipped.headers["content-length"]) < len(SCRIPT)
    assert zipped.headers["content-length"] == str(len(gzip.compress(SCRIPT)))
    assert zipped.content == plain.content
    assert zipped.headers["etag"] != plain.headers["etag"]


@pytest.mark.parametrize(
    ("accepted", "zipped"),
    [
        ("gzip", True),
        ("br, GZIP ;q=0.5", True),
        ("gzip;q=0.001", True),
        ("gzip;q=0", False),
        ("br, gzip; q=0.000, *", False),
        ("notgzip", False),
        ("identity", False),
    ],
)
async def test_gzip_is_for_those_who_take_it(dist: Path, accepted: str, zipped: bool) -> None:
    response = await ask(dist, "holdfast.min.js", accept_encoding=accepted)
    assert ("content-encoding" in response.headers) is zipped
    assert response.content == SCRIPT


async def test_head_has_the_headers_of_get_and_no_body(dist: Path) -> None:
    head, get = await ask(dist, "holdfast.min.js", "HEAD"), await ask(dist, "holdfast.min.js")
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers == get.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_other_methods_are_refused(dist: Path, method: str) -> None:
    answer = await ask(dist, "holdfast.min.js", method)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "name", ["secret.txt", "%2e%2e/secret.txt", "..%2fsecret.txt", "", "holdfast.min.js%00", "."]
)
async def test_no_other_name_reaches_the_file_system(dist: Path, name: str) -> None:
    (dist / "secret.txt").write_text("secret")
    answer = await ask(dist / "sub", name)
    assert answer.status_code == 404
    assert b"secret" not in answer.content


async def test_files_are_read_once(dist: Path) -> None:
    await ask(dist, "holdfast.min.js")
    (dist / "holdfast.min.js").write_bytes(b"changed")
    assert (await ask(dist, "holdfast.min.js")).content == SCRIPT


async def test_without_a_bundle_the_answer_names_the_command_and_a_later_build_is_found(
    tmp_path: Path,
) -> None:
    answer = await ask(tmp_path, "holdfast.min.js")
    assert answer.status_code == 404
    assert answer.text == "the JavaScript client is not built; in the repository run: python tools/bundle.py"
    for name in CLIENT_FILES:
        (tmp_path / name).write_bytes(b"built")
    assert (await ask(tmp_path, "holdfast.min.js")).content == b"built"
