"""What both examples need to show themselves: files, and nothing about events."""
