"""`load_app.py` below ASGI: ``uvicorn load_lane:app --http load_lane:lane.http``."""

from __future__ import annotations

from load_app import app

from holdfast.fast import FastLane

__all__ = ["app", "lane"]

lane = FastLane(app, path="/socket.io")
