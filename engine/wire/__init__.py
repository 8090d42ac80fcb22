"""Values: bytes and text to packets and back. No state, no I/O, no clock."""
