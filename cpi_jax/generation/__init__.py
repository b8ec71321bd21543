"""From a plan to scores: the fused step, batches over the devices, and the run over the units of a table."""
