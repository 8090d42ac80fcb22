"""The interfaces of other servers on top of holdfast's, for programs that move: change the import."""
