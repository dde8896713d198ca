"""Classifiers of all methods: they turn image features into probabilities."""
