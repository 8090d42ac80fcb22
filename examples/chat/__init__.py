"""Usernames, presence, typing, rooms, private messages and history."""
