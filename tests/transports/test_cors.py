"""The CORS headers are written once: by us, or by the application's middleware."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest
from asgi_driver import Client, ManualClock
from counting_peer import client_of
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Mount

from holdfast import Server

LISTED = "https://pages.example"
OTHER = "https://other.example"
URL = "/socket.io/?EIO=4&transport="
MODES = ["own", "app"]
CLIENT = "/socket.io/holdfast.esm.min.js"

Headers = list[tuple[bytes, bytes]]


def server(cors: Literal["own", "app"], **options: Any) -> Server:
    return Server(origins=[LISTED], cors=cors, clock=ManualClock(), **options)


def wrapped(inner: Server) -> Starlette:
    """What an application does that has CORS for all its paths."""
    middleware = Middleware(
        CORSMiddleware,
        allow_origins=[LISTED],
        allow_methods=["GET", "POST"],
        allow_headers=["content-type", "holdfast-attach"],
        allow_credentials=True,
    )
    return Starlette(routes=[Mount("/socket.io", app=inner)], middleware=[middleware])


async def answers(client: Client, origin: str) -> dict[str, tuple[int, Headers]]:
    """Status and headers of each kind of answer to a page of this origin."""
    sid = json.loads((await client.get(f"{URL}polling").text())[1:])["sid"]
    asked = {"origin": origin, "access-control-request-method": "POST"}
    kinds: dict[str, tuple[str, str, dict[str, str], str]] = {
        "GET": ("GET", f"{URL}polling", {}, ""),
        "stream": ("GET", f"{URL}stream&holdfast=1", {}, ""),
        "POST": ("POST", f"{URL}polling&sid={sid}", {}, "40"),
        "preflight": ("OPTIONS", f"{URL}polling&sid={sid}", asked, ""),
        "OPTIONS": ("OPTIONS", f"{URL}polling", {}, ""),
        "refusal": ("GET", f"{URL}polling&sid=unknown", {}, ""),
        "too large": ("POST", f"{URL}polling&sid={sid}", {"content-length": "9999999"}, ""),
        "client": ("GET", CLIENT, {}, ""),
    }
    found: dict[str, tuple[int, Headers]] = {}
    for kind, (method, url, headers, body) in kinds.items():
        exchange = client.request(method, url, headers={"origin": origin, **headers}, body=body)
        found[kind] = (await exchange.start(), exchange.raw_headers)
    first = await client.websocket(f"{URL}websocket", headers={"origin": origin}).next()
    accepted = first["type"] == "websocket.accept"
    found["WebSocket"] = (101 if accepted else first["status"], list(first.get("headers") or []))
    return found


def allowed(headers: Headers) -> list[str]:
    return [value.decode() for name, value in headers if name.lower() == b"access-control-allow-origin"]


def cors_names(headers: Headers) -> list[bytes]:
    return [name for name, _ in headers if name.lower().startswith(b"access-control-")]


# What is not cross-origin in a browser's eyes.
OUTSIDE = {"WebSocket"}


@asynccontextmanager
async def answered(app: Any, origin: str) -> AsyncIterator[dict[str, tuple[int, Headers]]]:
    async with client_of(app) as client:
        yield await answers(client, origin)


@pytest.mark.parametrize("cors", MODES)
async def test_middleware_round_us_never_makes_two_headers_of_one(cors: Literal["own", "app"]) -> None:
    async with answered(wrapped(server(cors)), LISTED) as found:
        for kind, (_, headers) in found.items():
            names = cors_names(headers)
            assert len(names) == len(set(names)), kind
            assert allowed(headers) == ([] if kind in OUTSIDE else [LISTED]), kind
        statuses = {kind: status for kind, (status, _) in found.items()}
        assert statuses == {
            "GET": 200,
            "stream": 200,
            "POST": 200,
            "preflight": 200,
            "OPTIONS": 200,
            "refusal": 400,
            "too large": 413,
            "client": 200,
            "WebSocket": 101,
        }


@pytest.mark.parametrize("cors", MODES)
async def test_origin_that_is_not_listed_may_not_connect_whoever_writes_the_headers(
    cors: Literal["own", "app"],
) -> None:
    async with answered(wrapped(server(cors)), OTHER) as found:
        for kind in ("GET", "stream", "POST", "OPTIONS", "refusal", "too large", "WebSocket"):
            status, headers = found[kind]
            assert status == 403, kind
            assert len(allowed(headers)) <= 1
            if cors == "app":
                assert allowed(headers) == [], kind
        # The middleware's own word.
        assert found["preflight"][0] == 400
        assert allowed(found["preflight"][1]) == []


@pytest.mark.parametrize("origin", [LISTED, OTHER, "http://testserver", "null"])
async def test_left_to_the_app_there_is_not_one_cors_header_of_ours(origin: str) -> None:
    async with answered(server("app"), origin) as found:
        for kind, (_, headers) in found.items():
            assert cors_names(headers) == [], kind
        status = 200 if origin in (LISTED, "http://testserver") else 403
        assert {found[kind][0] for kind in ("GET", "stream", "POST", "preflight", "OPTIONS")} == {status}
        assert found["client"][0] == 200


async def test_own_headers_are_on_every_answer_without_any_middleware() -> None:
    async with answered(server("own", credentials=True), LISTED) as found:
        for kind, (_, headers) in found.items():
            if kind in OUTSIDE:
                assert cors_names(headers) == []
            elif kind == "client":
                assert allowed(headers) == ["*"]
            else:
                assert allowed(headers) == [LISTED], kind
                assert (b"access-control-allow-credentials", b"true") in headers, kind


async def test_options_without_headers_of_ours_still_says_what_may_be_asked() -> None:
    async with client_of(server("app")) as client:
        exchange = client.request("OPTIONS", f"{URL}polling")
        assert await exchange.start() == 200
        assert exchange.headers["allow"] == "GET, POST"
