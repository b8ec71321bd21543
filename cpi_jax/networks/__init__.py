"""What the networks of `diffusion` and `classifiers` are both made of: layers, attention, CLIP's text encoder."""
