"""The forced-fallback demo: break the network by hand and watch the session hold."""

__all__: list[str] = []
