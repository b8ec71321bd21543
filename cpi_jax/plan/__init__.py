"""Which images a study needs: features, variants (an example's distinct captions), and what they cover."""
