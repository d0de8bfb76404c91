"""Questions about how stable answers are."""
