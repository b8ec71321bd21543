"""Captions as arrays: text as tokens, tokenised slots and what a text encoder reads of them, index shuffles over slots."""
