"""Training the generator, or parts of it, and the classifiers, data-parallel and resumable."""
