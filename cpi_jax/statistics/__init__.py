"""Pure functions of score tables: weighted metrics, the importance I(w), its inference, and the measures of validity."""
