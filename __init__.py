"""Holdfast: Socket.IO events over whatever network lies between a browser and a Python server."""

__all__: list[str] = []
