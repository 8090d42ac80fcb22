"""Greetings by STOMP over SockJS, moved from Spring."""
