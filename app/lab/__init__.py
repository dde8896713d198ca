"""The Overfitting lab page."""
