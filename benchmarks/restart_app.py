"""Ours in `restart.py`: what each client sends is written down at once, so that a kill leaves it, and sent back.

SIGUSR1 and SIGUSR2 move its clock an hour on and an hour back.
"""

from __future__ import annotations

import os
import signal

from holdfast import Server, Socket
from holdfast.engine.host import LoopClock

__all__ = ["app"]

HOUR = 3600.0


class MovedClock(LoopClock):
    """The system's, moved."""

    offset = 0.0

    def now(self) -> float:
        return super().now() + self.offset

    async def sleep_until(self, when: float, changed: object) -> None:
        # Any: anyio's event.
        await super().sleep_until(when - self.offset, changed)  # type: ignore[arg-type]

    def move(self, seconds: float) -> None:
        self.offset += seconds


clock = MovedClock()
signal.signal(signal.SIGUSR1, lambda *_: clock.move(HOUR))
signal.signal(signal.SIGUSR2, lambda *_: clock.move(-HOUR))
seen = os.open(os.environ["SEEN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
io = Server(clock=clock)
app = io


@io.on("up")
async def up(socket: Socket, number: int) -> int:
    os.write(seen, b"%d\n" % number)
    await socket.emit("down", number)
    return number
