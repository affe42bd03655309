"""Fuzz targets: one for each parser of foreign bytes, with the parser's contract.

python -m tests.fuzz [--inputs N] [--target NAME] [--seed N]

target.py     what a target is
inputs.py     inputs made of a target's words, quickly and by a seed
events.py     what producers send            api.py      what callers of the API send
receivers.py  what receivers and brokers answer          settings.py  what operators write
test_fuzz.py  a short run of each by Hypothesis, which makes a finding small
"""
