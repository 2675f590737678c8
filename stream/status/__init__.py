"""One screen for an operator on call: what runs, and what to do next.

Enters: the monitor's document, and the findings of doctor. Leaves: steps, the most urgent first, and the screen. It
asks no system itself, and changes nothing.
"""
