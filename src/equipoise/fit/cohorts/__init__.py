"""Many trainings as one: who is in a cohort, and in which way its members are trained."""
