"""Voices without a network: statistics of words, a linear model of speakers, who said which word.

A network that compares voices needs thousands of speakers; a linear model of a few statistics with
a closed solution does with a hundred.
"""
