"""`bench_app.py` below ASGI: ``uvicorn bench_app_lane:app --http bench_app_lane:lane.http``."""

from __future__ import annotations

from bench_app import app

from holdfast.fast import FastLane

__all__ = ["app", "lane"]

lane = FastLane(app, path="/socket.io")
