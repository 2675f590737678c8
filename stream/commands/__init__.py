"""The command line: one file for each noun, with its options and its output.

Enters: arguments. Leaves: results on stdout and an exit code. It never decides about a row or a message:
the other folders do the work.
"""
