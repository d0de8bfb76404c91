"""The page, the terminal summary, JUnit and comparisons, from records alone."""
