"""transformers' image classifiers in Flax, with PyTorch's names: a weight's path, joined by dots, is its name in files."""
