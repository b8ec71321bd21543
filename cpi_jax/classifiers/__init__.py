"""Classifiers behind one signature, images to scores: loading, preprocessing, what outputs mean, networks."""
