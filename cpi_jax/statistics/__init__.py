"""Pure functions of score tables: the metrics, the importance I(w), what follows from it, and the measures of validity.

The way of the data: `metrics` -> `functional` (I at any weights) -> `inference` (estimates, bootstrap repeats, influences
of the `sampling_units`) -> `significance` (intervals, p-values, ranks) -> `summary` -> `record` (the `Importance`).
`validity` measures the two conditions of a ranking, and `verdicts` judges them.
"""
