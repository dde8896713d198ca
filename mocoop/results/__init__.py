"""Runs as tables: gathered, averaged, written as Markdown and LaTeX, beside papers' numbers."""
