"""The command line: one file for each noun, with its options and its output.

Enters: arguments. Leaves: results on stdout and an exit code. The other folders do the work itself.
"""
