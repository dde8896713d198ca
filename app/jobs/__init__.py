"""Processes that the pages start: trainings and maps; and estimates of their time."""
