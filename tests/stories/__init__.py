"""Stories: transcripts that a person can read, replayed against real nodes; a change of behaviour is a diff.

    python -m tests.stories                 replay all
    python -m tests.stories --rewrite [NAME …]   write down what happens now; read the diff

A story is a text file. Lines that begin with `> ` are commands (tests/stories/teller.py), the indented lines below each
are exactly what happened, everything else is prose and says what the story proves.
"""
