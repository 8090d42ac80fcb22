"""A topic of STOMP that is a room of Socket.IO, on one page."""
