"""Stable Diffusion as a pure function: networks, noise schedule and solver, sampler, checkpoints, LoRA."""
