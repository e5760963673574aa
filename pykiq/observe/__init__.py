"""Being seen: the log, the metrics and their endpoint, the heartbeat that Ruby's dashboards read.

An observer has `started(batch: Sequence[Assigned])` and `settled(batch: Sequence[Settled])`; both are called on one
observer thread, a turn's worth of jobs at a time, never on the loop that moves jobs.
"""
