"""The vocabulary of the tests' tokenizer; ids are places in this list."""

WORDS = ("1", "red", "green", "blue", "circle", "rectangle", ",", "an", "empty", "scene", "a", "photo")
