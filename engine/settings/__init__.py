"""What a server may be told: every setting, its limits, and what other servers call it."""

from .cookie import Cookie
from .proxies import Forwarded, Network, forwarded
from .settings import Settings
from .sockjs import SockJSSettings
from .stomp import StompSettings

__all__ = ["Cookie", "Forwarded", "Network", "Settings", "SockJSSettings", "StompSettings", "forwarded"]
