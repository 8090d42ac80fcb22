"""Two applications to read, run and copy from: a chat and a whiteboard."""
