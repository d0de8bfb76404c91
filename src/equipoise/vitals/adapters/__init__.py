"""The recorder inside the loops of other frameworks."""
