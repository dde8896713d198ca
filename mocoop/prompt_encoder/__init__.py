"""Soft prompts as rows of tokens, and the exact encoder that runs shared prefixes once."""
