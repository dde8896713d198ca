"""Many pictures at once: uploads of a researcher's own, classified, measured and saved."""
