"""Soft prompts as rows of tokens, encoded exactly with the prefixes they share."""
