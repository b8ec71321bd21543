"""CLIP's tokenizer: text in small letters, cut into words, whose bytes are merged to pieces (arXiv 2103.00020).

The rules are those of transformers' CLIPTokenizer since its release 5 (CLIPTokenizerFast before). The library below it does
the work, so that transformers itself, eleven times as large, is not needed.
"""

from __future__ import annotations

import itertools
from collections.abc import Container, Mapping, Sequence

from tokenizers import AddedToken, Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import BPE

_WORD = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
_FIRST_PIECE = 2**30  # id of the first piece of a word that the vocabulary lacks, beyond all others
ROLES = ("bos_token", "eos_token", "pad_token", "unk_token")


class ClipTokenizer:
    """Text to tokens. A piece of a word is unknown where the vocabulary lacks it.

    A word of textual inversion that has several vectors is several tokens, "<x>", "<x>_1" and so on, and said in full where
    a text says the first.

    Attributes:
      merges: as they were given.

    Args:
      vocabulary: tokens and their ids.
      merges: pairs of pieces, the first merged first.
      roles: the token of each of `ROLES`.
      added: tokens that are found in a text before it is cut into words, among them those of the roles; all have an id.
      model_max_length: tokens of a caption, BOS and EOS included.
    """

    def __init__(
        self,
        vocabulary: Mapping[str, int],
        merges: Sequence[tuple[str, str]],
        roles: Mapping[str, str],
        added: Sequence[AddedToken],
        model_max_length: int,
    ):
        self.merges, self._roles, self.model_max_length = list(merges), dict(roles), model_max_length
        self.bos_token_id, self.eos_token_id, self.pad_token_id, self.unk_token_id = (
            vocabulary[roles[role]] for role in ROLES
        )
        self._hold(vocabulary, added)

    def _hold(self, vocabulary: Mapping[str, int], added: Sequence[AddedToken]) -> None:
        """Makes the library's tokenizer of a vocabulary and of added tokens."""
        self._vocabulary, self._added = dict(vocabulary), list(added)
        pieces = dict.fromkeys(piece for one, other in self.merges for piece in (one, other, one + other))
        missing = [piece for piece in pieces if piece not in vocabulary]  # the library asks for an id of each
        ids = self._vocabulary | {piece: number for number, piece in enumerate(missing, _FIRST_PIECE)}
        self._library = Tokenizer(BPE(ids, self.merges, end_of_word_suffix="</w>", unk_token=self._roles["unk_token"]))
        blanks = normalizers.Replace(Regex(r"\s+"), " ")
        self._library.normalizer = normalizers.Sequence([normalizers.NFC(), blanks, normalizers.Lowercase()])
        words = pre_tokenizers.Split(Regex(_WORD), behavior="removed", invert=True)
        self._library.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False)])
        self._library.add_special_tokens(self._added)
        tokens = {token.content for token in self._added}
        self._in_full = {
            ids[word]: [ids[word], *(ids[name] for name in following)]
            for word in tokens
            if (following := _following(word, tokens))
        }

    def add_word(self, word: str, ids: Sequence[int]) -> None:
        """Adds a word that is as many tokens as there are ids (`tokens_of_word`), none of which the vocabulary has."""
        names = tokens_of_word(word, len(ids))
        self._hold(self._vocabulary | dict(zip(names, ids)), [*self._added, *map(AddedToken, names)])

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        """Ids of a text's tokens, between BOS and EOS if `add_special_tokens`."""
        read = (said for n in self._library.encode(text).ids for said in self._in_full.get(n, (n,)))
        ids = [self.unk_token_id if n >= _FIRST_PIECE else n for n in read]
        return [self.bos_token_id, *ids, self.eos_token_id] if add_special_tokens else ids

    def padded(self, text: str, length: int) -> list[int]:
        """Ids of BOS, a text, EOS and as much padding as makes `length` tokens."""
        ids = self.encode(text, add_special_tokens=True)
        return ids + [self.pad_token_id] * (length - len(ids))

    def tokenize(self, text: str) -> list[str]:
        """A text's tokens; of a word of several vectors the first, and an unknown piece of a word as it is."""
        return self._library.encode(text).tokens

    def get_vocab(self) -> dict[str, int]:
        """Tokens and their ids."""
        return dict(self._vocabulary)


def tokens_of_word(word: str, count: int) -> list[str]:
    """The tokens of a word of textual inversion, as diffusers names them: "<x>", "<x>_1", "<x>_2"."""
    return [word, *(f"{word}_{n}" for n in range(1, count))]


def _following(word: str, tokens: Container[str]) -> list[str]:
    """The tokens behind the first of a word of textual inversion."""
    return list(itertools.takewhile(tokens.__contains__, (f"{word}_{n}" for n in itertools.count(1))))
