# The job classes of the interop tests, as a Rails application would have them. Loaded by the sidekiq processes and by
# the console. Settings come from the environment: POLL (seconds between polls), MAXR, DEADMAX, DEADTO.
require "sidekiq"
require "sidekiq/scheduled"
require "json"

# A chroot without /proc: Sidekiq reads its memory there at each heartbeat and would never get one out.
unless File.exist?("/proc/#{$$}/status")
  Dir.mkdir("/proc/#{$$}") unless Dir.exist?("/proc/#{$$}")
  File.write("/proc/#{$$}/status", "VmRSS:\t   40000 kB\n")
  mine = $$
  at_exit do
    if $$ == mine
      File.delete("/proc/#{mine}/status")
      Dir.rmdir("/proc/#{mine}")
    end
  end
end

Sidekiq.configure_server do |config|
  settings = config.respond_to?(:[]=) ? config : Sidekiq.options
  settings[:poll_interval_average] = ENV["POLL"].to_f if ENV["POLL"]
  settings[:max_retries] = ENV["MAXR"].to_i if ENV["MAXR"]
  settings[:dead_max_jobs] = ENV["DEADMAX"].to_i if ENV["DEADMAX"]
  settings[:dead_timeout_in_seconds] = ENV["DEADTO"].to_f if ENV["DEADTO"]
end

# The poller's random waits are at their short end: the first poll comes at once instead of up to five seconds late.
module PollSoon
  private

  def rand(*given)
    given.empty? ? 0.02 : super
  end
end
Sidekiq::Scheduled::Poller.prepend(PollSoon)

def heard(list, value)
  Sidekiq.redis { |redis| redis.call("RPUSH", list, JSON.generate(value, max_nesting: 0)) }
end

# What Ruby makes of a value, spelled so that nothing of its type is lost; handlers.py has the same in Python.
def described(value)
  case value
  when nil then ["null"]
  when true, false then ["bool", value.to_s]
  when Integer then ["int", value.to_s]
  when Float then ["float", [value].pack("G").unpack1("H*")]
  when String then ["str", value.encode("UTF-8").codepoints.length, value.unpack1("H*")]
  when Array then ["list", *value.map { |item| described(item) }]
  when Hash then ["dict", *value.map { |key, item| [described(key), described(item)] }]
  else ["?", value.class.name]
  end
end

module Py # handled by Python: Ruby only needs the name
  class Echo
    include Sidekiq::Job
    sidekiq_options queue: "python"
  end

  class Note
    include Sidekiq::Job
    sidekiq_options queue: "python"
  end
end

class EchoJob # what Python sends back arrives here
  include Sidekiq::Job
  sidekiq_options queue: "ruby"

  def perform(name, python_view, *args)
    heard("echoed", {"name" => name, "ruby_view" => described(args), "python_view" => python_view})
  end
end

class RubyNote
  include Sidekiq::Job
  sidekiq_options queue: "ruby"

  def perform(*args)
    heard("notes", {"by" => "ruby", "jid" => jid, "args" => args})
  end
end

module Shared # a class that both sides have
  class Flaky
    include Sidekiq::Job
    sidekiq_options queue: "shared", backtrace: 2, tags: ["both"], "x_trace" => {"z" => 1, "a" => [1.5, nil]}

    def perform(*args)
      heard("notes", {"by" => "ruby", "jid" => jid, "args" => args})
      raise ArgumentError, "ruby says no" unless Sidekiq.redis { |redis| redis.call("GET", "shared:ok") }
    end
  end
end

ENV["EXTRA"].to_s.split(":").each { |file| require file } # files that a test has written

require_relative "active_jobs" if ENV["ACTIVE_JOB"]
