"""The vocabulary of the tests' tokenizer; ids are places in this list."""

import re

WORDS = ("1", "red", "green", "blue", "circle", "rectangle", ",", "an", "empty", "scene", "a", "photo")


class WordTokenizer:
    """What is used of the tests' tokenizer, without transformers, whose import takes longer than a small study."""

    bos_token_id, eos_token_id, pad_token_id, unk_token_id = 12, 13, 13, 13
    model_max_length = 32

    def encode(self, text, add_special_tokens):
        known = {word: n for n, word in enumerate(WORDS)}
        return [known.get(word, self.unk_token_id) for word in re.findall(r"\w+|[^\w\s]", text)]
