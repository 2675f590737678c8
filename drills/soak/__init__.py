"""The soak: hours of a writer, two workers, the monitor, verify --watch, replays and kills on a real stack.

    set up -> [samples | kills | replays] until the hours are over -> writer stops -> compare, judge -> record, picture

Enters: a stack. Leaves: benchmarks/results/soak.json and soak.svg: whether ClickHouse equals Postgres, and whether
memory, file descriptors, connections, parts, slot and lag grew.
"""
