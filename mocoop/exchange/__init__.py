"""Prompts that other programs trained, as runs; and runs as files that those programs read."""
