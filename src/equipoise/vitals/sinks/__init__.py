"""Where windows of vital signs go while they are recorded: trackers of experiments."""
