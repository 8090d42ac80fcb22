"""What an application names to have its Socket.IO server answered below ASGI."""

from __future__ import annotations

from typing import Any

from ..endpoint import Endpoint
from .http import FastHttp, Place

__all__ = ["FastLane"]


class FastLane:
    """Serves one endpoint of a uvicorn process below ASGI: the same sessions, limits and answers for less work.

    ::

        io = Server()
        app = FastAPI()
        app.mount("/socket.io", io)
        lane = FastLane(io)

        # uvicorn main:app --http main:lane.http

    Requests and WebSockets to ``path`` are answered by the endpoint without a detour through the application: its
    middleware does not see them, and ``handshake.scope`` has nothing from it. All others go on as before. It needs
    httptools, which comes with ``uvicorn[standard]``. Behind proxies, name them in the setting ``trusted_proxies``:
    uvicorn's own ``--proxy-headers`` are middleware as well. WebSockets are not compressed.

    Args:
        endpoint: A `Server`, or an `Engine`.
        path: Where the application has it, from the root of the server.

    Attributes:
        endpoint: The first one.
        http: The class for uvicorn's option ``--http``.
    """

    def __init__(self, endpoint: Endpoint, path: str = "/socket.io") -> None:
        self.endpoint = endpoint
        self._places: dict[bytes, Place] = {}
        names: dict[str, Any] = {"places": self._places, "__doc__": FastHttp.__doc__, "__slots__": ()}
        self.http: type[FastHttp] = type("Http", (FastHttp,), names)
        self.add(endpoint, path)

    def add(self, endpoint: Endpoint, path: str) -> None:
        """Serve another one too, before the server starts.

        Raises:
            TypeError: it is neither a `Server` nor an `Engine`.
        """
        if type(endpoint).__call__ is not Endpoint.__call__:
            raise TypeError(f"the fast lane serves a Server or an Engine, not {type(endpoint).__name__}")
        place = "/" + path.strip("/")
        # At its own path it may be the application itself; elsewhere it is mounted.
        root = place.removesuffix(endpoint.path) if endpoint.path else place
        self._places[place.encode()] = Place(endpoint, root)

    def run(self, app: Any, **options: Any) -> None:
        """``uvicorn.run`` with this lane; the options are uvicorn's."""
        import uvicorn

        uvicorn.run(app, http=self.http, **options)
