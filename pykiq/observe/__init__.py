"""Being seen: the log, the metrics and their endpoint, the heartbeat that Ruby's dashboards read.

Observers (`observer.Observer`) are told on one thread, a turn's worth of jobs at a time, never on the loop that moves
jobs.
"""
