"""A chat by SockJS, moved from sockjs-node."""
