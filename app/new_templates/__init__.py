"""New templates on the Data page: written, checked, grouped, changed by hand."""
