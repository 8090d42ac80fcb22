"""The fast lane: one endpoint served below ASGI, on uvicorn."""

from .lane import FastLane

__all__ = ["FastLane"]
