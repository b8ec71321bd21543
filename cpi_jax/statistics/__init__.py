"""Pure functions of score tables: the metrics, the importance I(w), what follows from it, and the measures of validity.

The way of the data: `metrics` -> `functional` (I at any weights) -> `inference` (estimates, bootstrap repeats, influences
of the `sampling_units`) -> `significance` (intervals, p-values, ranks) -> `summary` -> `record` (the `Importance`).
Beside it stand numbers that do not rank: `dealing` -> `local_changes`, `flip_rates`, `sign_test` in numpy, and by way of
`inference` and `contrasts` the `subgroup_differences`, `known_share` and the gaps between groups (`metrics/gaps`).
`validity` measures the two conditions of a ranking, and `verdicts` judges them.
"""
