"""Questions about time and memory."""
