"""The fast lane (docs/performance.md): ``from holdfast.fast import FastLane``. It needs uvicorn and httptools."""

from .transports.fast import FastLane

__all__ = ["FastLane"]
