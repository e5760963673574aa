# Pushes as an application would, and tells how long it took; ../python_side/client.py is the same in Python.
#   ruby client.rb single|bulk COUNT
require "sidekiq"
require "json"

module Bench
  class Noop
    include Sidekiq::Job
  end
end

WARM = 200
TEXT = "x" * 40

def now(clock)
  Process.clock_gettime(clock)
end

kind, count = ARGV
WARM.times { |number| Bench::Noop.perform_async(number, TEXT) }
many = Array.new(count.to_i) { |number| [number, TEXT] }
started, busy = now(Process::CLOCK_MONOTONIC), now(Process::CLOCK_PROCESS_CPUTIME_ID)
if kind == "single"
  many.each { |args| Bench::Noop.perform_async(*args) }
else
  Bench::Noop.perform_bulk(many, batch_size: 1000)
end
puts JSON.generate(
  seconds: now(Process::CLOCK_MONOTONIC) - started, cpu: now(Process::CLOCK_PROCESS_CPUTIME_ID) - busy
)
