"""Documents about finished runs: a page in HTML, and a notebook that opens the run."""
