"""Processes behind the pages: trainings, their worker, estimates, maps."""
