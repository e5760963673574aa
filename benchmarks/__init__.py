"""pykiq and real Sidekiq side by side, in turns, on one Redis; docs/performance.md says what is measured and how.

python -m benchmarks [--list] [--only NAME ...] [--quick] [--rounds N] [--base CHECKOUT] [--systems NAME ...]

__main__.py       the command line
measurements.py   which measurements there are, and for how long each runs
steady.py         jobs that arrive at a steady rate
full.py           full queues worked off
due.py            scheduled jobs that come due
enqueue.py        pushing, client side
idle.py           what idle workers cost; start.py the start of one
notes.py          when each job was pushed and when it started, as the handlers have noted
payload.py        the jobs' bytes, and who pushes them
counters.py       what a stretch of work cost: CPU, Redis commands
systems.py        pykiq, Sidekiq, and how their workers and clients are started; checkout.py another state of pykiq
fleet.py          wide fleets and the heartbeats of others, a command of its own
floor.py          the plainest worker there can be, as what Python itself costs
processes.py      a worker's processes, their CPU and memory
machine.py        the Redis server and the systems on it
rounds.py         everybody in turns; medians, and ratios pair by pair
report.py         the table and the JSON files; chart.py draws them
python_side/, ruby_side/    the same jobs and pushes in both languages
"""
