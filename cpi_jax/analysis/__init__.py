"""From tables to results: the cases in use, importances, validity, early stopping, and the files that say so."""
