"""Where many trainings and questions are carried out."""
