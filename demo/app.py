"""What the demo serves: the page, numbered events both ways, a chat, a table for three protocols; and, elsewhere, the
switches.

The two applications have different origins on purpose. The page's own traffic goes through the misbehaving proxy; the
switches must still answer when it is starved.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import anyio
from anyio.abc import TaskGroup
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from holdfast import Disconnected, Server, Socket, SockJS, SockJSSession, Stomp, StompClient, StompMessage

from .checker import Checker
from .proxy import Kind, MisbehavingProxy

__all__ = ["Events", "create_app", "create_switches"]

STATIC = Path(__file__).parent / "static"
HOSTS = ["localhost", "127.0.0.1"]
MAX_RATE = 200
TABLE = "table"
TICK = 0.02

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'self'; connect-src 'self' ws: http://localhost:* http://127.0.0.1:*; "
        "img-src 'self' data:; frame-ancestors 'none'"
    ),
}


@dataclasses.dataclass(eq=False)
class Feed:
    """The numbered events of one page."""

    socket: Socket
    rate: float = 20.0
    rest: float = 0.0
    sent: int = 0
    heard: Checker = dataclasses.field(default_factory=Checker)

    def report(self) -> dict[str, int]:
        verdict = self.heard.verdict().to_json()
        counts = {name: verdict[name] for name in ("received", "lost", "repeated", "disordered")}
        return {**counts, "sent": self.sent}


class Events:
    """The demo's event handlers, and a task for each page that sends it numbers at the rate it asked for.

    Args:
        tasks: Where these tasks run.

    Attributes:
        io, sockjs, stomp: The servers to mount.
        count: Numbered events so far, both ways, all pages.
    """

    def __init__(self, tasks: TaskGroup) -> None:
        self.io = Server()
        self.count = 0
        self._tasks = tasks
        self._feeds: dict[str, Feed] = {}
        self._said: deque[dict[str, Any]] = deque(maxlen=30)
        for name in ("connect", "disconnect", "up", "rate", "measure", "finish", "chat", "history", "say"):
            self.io.on(name, getattr(self, f"_{name}"))
        self.sockjs = SockJS(self._sit_by_sockjs, namespace=self.io)
        self.stomp = Stomp(sockjs=True)
        # The room of the events is the topic: who is in the one and who subscribes to the other hear the same.
        self.stomp.join_rooms(self.io, [TABLE], event="said")
        self.stomp.authorize(self._may_by_stomp)
        self.stomp.handle(f"/app/{TABLE}", send_to=f"/topic/{TABLE}")(self._say_by_stomp)

    def report(self, socket_id: str) -> dict[str, int] | None:
        """What the server has counted for a page; None if it is not connected."""
        feed = self._feeds.get(socket_id)
        return None if feed is None else feed.report()

    async def _send_numbers(self, feed: Feed) -> None:
        last = anyio.current_time()
        with suppress(Disconnected):
            while self._feeds.get(feed.socket.id) is feed:
                await anyio.sleep(TICK)
                now = anyio.current_time()
                # After a pause of this process nobody wants a burst of all that was not sent.
                owed, last = feed.rate * min(now - last, 1.0) + feed.rest, now
                feed.rest = owed % 1
                for _ in range(int(owed)):
                    feed.sent += 1
                    self.count += 1
                    await feed.socket.emit("down", feed.sent)

    async def _connect(self, socket: Socket) -> None:
        feed = self._feeds[socket.id] = Feed(socket)
        socket.join("lobby", TABLE)
        self._tasks.start_soon(self._send_numbers, feed)

    async def _disconnect(self, socket: Socket, reason: str) -> None:
        self._feeds.pop(socket.id, None)

    async def _up(self, socket: Socket, number: int) -> None:
        self.count += 1
        self._feeds[socket.id].heard.take(number)

    async def _rate(self, socket: Socket, per_second: float) -> None:
        self._feeds[socket.id].rate = max(0.0, min(float(per_second), MAX_RATE))

    async def _measure(self, socket: Socket) -> None:
        """Its acknowledgement is what the page times."""

    async def _finish(self, socket: Socket) -> dict[str, int]:
        """Send no more numbers; the answer says how many there were, and comes after them."""
        feed = self._feeds[socket.id]
        feed.rate = feed.rest = 0.0
        return feed.report()

    async def _chat(self, socket: Socket, name: str, text: str, mark: str = "") -> str:
        message = {
            "name": str(name)[:40] or "nobody",
            "text": str(text)[:500],
            "from": socket.id,
            "mark": str(mark)[:40],
        }
        self._said.append(message)
        await self.io.to("lobby").emit("chat", message)
        return "seen"

    async def _history(self, socket: Socket) -> list[dict[str, Any]]:
        return list(self._said)

    # -- the table

    async def _say(self, socket: Socket, text: str) -> None:
        await self.io.to(TABLE).emit("said", remark("Socket.IO", text))

    async def _sit_by_sockjs(self, session: SockJSSession) -> None:
        session.join(TABLE)
        await session.send('["seated"]')
        async for text in session:
            await self.io.to(TABLE).emit("said", remark("SockJS", text))

    async def _may_by_stomp(
        self, client: StompClient, action: Literal["send", "subscribe"], destination: str
    ) -> bool:
        # What is said goes through the function, which says by whom it is.
        return destination == (f"/app/{TABLE}" if action == "send" else f"/topic/{TABLE}")

    async def _say_by_stomp(self, message: StompMessage) -> dict[str, str]:
        return remark("STOMP", message.text)


def remark(by: str, text: object) -> dict[str, str]:
    """What all at the table hear."""
    return {"by": by, "text": str(text)[:500]}


def create_app(events: Events, *, switches_port: int) -> Starlette:
    """The page and its server."""

    async def index(request: Request) -> Response:
        text = (STATIC / "index.html").read_text("utf-8")
        return HTMLResponse(text.replace("{{switches_port}}", str(switches_port)), headers=HEADERS)

    return Starlette(
        routes=[
            Route("/", index),
            Mount("/static", StaticFiles(directory=STATIC)),
            Mount("/socket.io", events.io),
            Mount("/sockjs", events.sockjs),
            Mount("/stomp", events.stomp),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS)],
    )


def create_switches(
    proxy: MisbehavingProxy, count: Callable[[], int], report: Callable[[str], dict[str, int] | None]
) -> Starlette:
    """The switches. They answer the demo's own page only.

    Args:
        count: How many numbered events there were.
        report: What the server has counted for a page, which is to know it when its session is starved too.
    """
    origins = [f"http://{host}:{proxy.port}" for host in HOSTS]
    cuts = 0
    changed_at = 0.0

    def state(request: Request) -> Response:
        content = snapshot(proxy, count())
        content["cuts"] = cuts
        content["changedMsAgo"] = round((anyio.current_time() - changed_at) * 1000)
        content["report"] = report(request.query_params.get("socket", ""))
        return JSONResponse(content, headers={"Cache-Control": "no-store"})

    async def read(request: Request) -> Response:
        return state(request)

    async def act(request: Request) -> Response:
        nonlocal cuts, changed_at
        # A form on any other page can send a POST, but not with this content type: that takes a preflight.
        if request.headers.get("content-type") != "application/json":
            raise HTTPException(415, "application/json only")
        try:
            apply(proxy, request.path_params["action"], await request.json())
        except (KeyError, TypeError, ValueError) as error:
            raise HTTPException(400, f"not understood: {error!r}") from error
        cuts += request.path_params["action"] == "cut"
        changed_at = anyio.current_time()
        return state(request)

    cors = Middleware(
        CORSMiddleware, allow_origins=origins, allow_methods=["GET", "POST"], allow_headers=["content-type"]
    )
    return Starlette(
        routes=[Route("/state", read), Route("/{action}", act, methods=["POST"])],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS), cors],
    )


def apply(proxy: MisbehavingProxy, action: str, options: Mapping[str, Any]) -> None:
    """Do what a switch says.

    Raises:
        KeyError: There is no such switch.
        TypeError: No such fault.
        ValueError: A number that is none.
    """
    match action:
        case "set":
            flip(proxy, options)
        case "cut":
            proxy.cut()
        case "cut-all":
            proxy.cut_all(min(float(options["seconds"]), 60.0))
        case "clear":
            proxy.clear()
        case _:
            raise KeyError(action)


def flip(proxy: MisbehavingProxy, options: Mapping[str, Any]) -> None:
    faults = {name: bool(options[name]) for name in SWITCHES if name in options}
    if "delay_ms" in options:
        delay = min(max(float(options["delay_ms"]), 0.0), 5000.0) / 1000
        faults |= {"delay_up": delay, "delay_down": delay}
    proxy.set(**faults)
    # Refusing concerns new WebSockets only; here it should show at once.
    if faults.get("refuse_websocket"):
        proxy.cut(Kind.WEBSOCKET)


SWITCHES = ("refuse_websocket", "swallow_websocket", "hold_streams")


def snapshot(proxy: MisbehavingProxy, events: int) -> dict[str, Any]:
    """The state of the network, as JSON."""
    stats, faults = proxy.stats, proxy.faults
    return {
        "faults": {name: getattr(faults, name) for name in SWITCHES},
        "delayMs": round(faults.delay_up * 1000),
        "closedForMs": round(proxy.closed_for * 1000),
        "open": stats.open_carriers,
        "requests": sum(count for kind, count in stats.requests.items() if kind is not Kind.OTHER),
        "headBytes": stats.up.head_bytes + stats.down.head_bytes,
        "bodyBytes": stats.up.body_bytes + stats.down.body_bytes,
        "events": events,
    }
