"""Questions about what answers rest on, and which explanations of them may be believed."""
