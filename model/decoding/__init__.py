"""Decoding that can only write what the format's parser reads without a repair."""

from talkover.model.decoding.constrain import GrammarProcessor, RowConstraint
from talkover.model.decoding.formats import grammar_of
from talkover.model.decoding.grammar import Grammar, State
from talkover.model.decoding.vocabulary import VocabularyTrie

__all__ = ["Grammar", "GrammarProcessor", "RowConstraint", "State", "VocabularyTrie", "grammar_of"]
