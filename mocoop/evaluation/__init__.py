"""Accuracy, calibration and routing on test images, also of other data sets."""
