"""A stock Firefox with a fresh profile, spoken to in WebDriver BiDi: commands and events as JSON on one WebSocket."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any

import anyio
from browser_process import browser_process
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

__all__ = ["Bidi", "BidiError", "firefox"]

COMMAND_SECONDS = 60.0
END_SECONDS = 10.0
LISTENING = "WebDriver BiDi listening on "

# What BiDi itself sets already keeps updates, reports and first-run pages away.
PREFERENCES: dict[str, object] = {
    "network.proxy.type": 0,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
}

# Its log has errors that are not the page's own: each WebSocket that is refused is one.
WATCH = """(tell) => {
    addEventListener("error", ({ message }) => message && tell(message));
    addEventListener("unhandledrejection", ({ reason }) => tell(String(reason)));
}"""
TELL = {"type": "channel", "value": {"channel": "errors"}}


class BidiError(Exception):
    """The browser refused a command, or is gone."""


class Bidi:
    """A session of WebDriver BiDi."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._ids = count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._listeners: dict[str, list[Callable[[Any], None]]] = {}

    def on(self, event: str, listener: Callable[[Any], None]) -> None:
        """Call ``listener`` with the parameters of each such event; the session must be subscribed to it."""
        self._listeners.setdefault(event, []).append(listener)

    async def command(self, method: str, /, **params: Any) -> Any:
        """Have the browser do something.

        Returns:
            What it answers.

        Raises:
            BidiError: It does not want to.
        """
        number = next(self._ids)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            await self._connection.send(json.dumps({"id": number, "method": method, "params": params}))
            return await asyncio.wait_for(answer, COMMAND_SECONDS)
        except ConnectionClosed as error:
            raise BidiError("Firefox is gone") from error
        finally:
            del self._waiting[number]

    async def read(self) -> None:
        """Hand on what the browser says, until it says no more."""
        with suppress(ConnectionClosed):
            async for text in self._connection:
                self._take(json.loads(text))
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(BidiError("Firefox is gone"))

    def _take(self, said: dict[str, Any]) -> None:
        if said["type"] == "event":
            for listener in self._listeners.get(said["method"], ()):
                listener(said["params"])
            return
        answer = self._waiting.get(said["id"])
        if answer is None or answer.done():
            return
        if said["type"] == "success":
            answer.set_result(said["result"])
        else:
            answer.set_exception(BidiError(f"{said['error']}: {said['message']}"))


@asynccontextmanager
async def firefox() -> AsyncIterator[Bidi]:
    """A headless Firefox that tells of errors in pages; gone at the end, and its profile too."""
    program = shutil.which("firefox-esr") or shutil.which("firefox")
    assert program is not None, "Firefox is missing; install it with: tools/system_packages.sh"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        lines = [
            f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in PREFERENCES.items()
        ]
        await anyio.Path(profile, "user.js").write_text("\n".join(lines))
        own = ["--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0"]
        async with (
            browser_process(program, *own, says=LISTENING) as (process, address),
            _session(address) as bidi,
        ):
            yield bidi
            with suppress(BidiError, asyncio.TimeoutError):
                await bidi.command("browser.close")
                await asyncio.wait_for(process.wait(), END_SECONDS)


@asynccontextmanager
async def _session(address: str) -> AsyncIterator[Bidi]:
    async with connect(address + "/session", max_size=None, proxy=None) as connection:
        bidi = Bidi(connection)
        reader = asyncio.create_task(bidi.read())
        try:
            await bidi.command("session.new", capabilities={})
            await bidi.command("session.subscribe", events=["script.message"])
            await bidi.command("script.addPreloadScript", functionDeclaration=WATCH, arguments=[TELL])
            yield bidi
        finally:
            reader.cancel()
