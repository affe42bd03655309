"""Every parser and pattern that meets foreign bytes takes time that grows with their number, and no faster.

work.py           counts the work of a call
patterns.py       every regular expression of ours: the worst input of each, or why it meets none
parsers.py        every parser, and the worst input of each
test_linear.py    walks all of them
"""
