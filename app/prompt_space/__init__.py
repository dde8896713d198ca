"""The Prompt space page."""
