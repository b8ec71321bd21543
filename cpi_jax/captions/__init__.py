"""Captions as arrays: tokenised slots, their assembly into what a text encoder reads, and index shuffles over them."""
