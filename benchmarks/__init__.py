"""pykiq and real Sidekiq side by side, in turns, on one Redis; docs/performance.md says what is measured and how.

python -m benchmarks [--quick] [--only NAME ...] [--out FOLDER]

__main__.py    which measurements there are, how often and with how many jobs; the command line
machine.py     the Redis server, the two systems, their worker and client processes
drain.py       a filled queue worked off: throughput, CPU, memory, Redis commands
enqueue.py     pushing, client side
latency.py     from push to start on an idle worker
idle.py        what an idle worker costs
rounds.py      pykiq, Sidekiq, pykiq, Sidekiq …; medians, and ratios pair by pair
report.py      the table and the JSON files; chart.py draws them
handlers.py client.py, ruby_side/jobs.rb ruby_side/client.rb    the same jobs and pushes in both languages
"""
