"""What a study is compared with: pixel-space heat maps as concept importances, and the oracle of planted classifiers."""
