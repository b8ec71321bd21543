"""Which images a study needs: features, strata, requests, variants (an example's distinct captions), what they cover."""
