"""Result tables: collects runs, averages over seeds, writes Markdown and LaTeX."""
