"""Every method as a classifier: image features in, probabilities out."""
