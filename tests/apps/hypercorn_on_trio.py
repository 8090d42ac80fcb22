"""hypercorn on Trio without a fault of its own (0.18): ``python -m hypercorn_on_trio`` in place of ``-m hypercorn``.

Where it ends a connection in the moment in which the client closes it, one of the two finds the other writing, and what
is raised then ends the server with all its connections. Its workers import this, too, and so are without it as well.
"""

from __future__ import annotations

import sys

import trio
from hypercorn.__main__ import main
from hypercorn.trio.tcp_server import TCPServer

_GONE = (trio.BrokenResourceError, AttributeError, trio.BusyResourceError, trio.ClosedResourceError)


async def _close(self: TCPServer) -> None:
    try:
        self.send_lock.acquire_nowait()
    except (trio.WouldBlock, RuntimeError):
        # Somebody writes, perhaps we ourselves: the connection is lost under him.
        pass
    else:
        try:
            await self.stream.send_eof()
        except _GONE:
            pass
        finally:
            self.send_lock.release()
    await self.stream.aclose()


TCPServer._close = _close

if __name__ == "__main__":
    sys.exit(main())
