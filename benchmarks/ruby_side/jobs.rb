# The jobs of the benchmark in Ruby; ../handlers.py has the same in Python.
require "sidekiq"

# A chroot without /proc: Sidekiq reads its memory there at each heartbeat and would never get one out.
unless File.exist?("/proc/#{$$}/status")
  Dir.mkdir("/proc/#{$$}") unless Dir.exist?("/proc/#{$$}")
  File.write("/proc/#{$$}/status", "VmRSS:\t   40000 kB\n")
end

Sidekiq.configure_server do |config|
  if ENV["LOG"] == "json"
    config.logger.formatter = Sidekiq::Logger::Formatters::JSON.new
  else
    config.logger.level = Logger::WARN
  end
end

STAMPS = File.open(ENV.fetch("STAMPS", File::NULL), "a")
STAMPS.sync = true

module Bench
  class Noop
    include Sidekiq::Job

    def perform(*)
    end
  end

  class Sleep
    include Sidekiq::Job

    def perform(seconds)
      sleep(seconds)
    end
  end

  class Stamp # notes the seconds from push to start, both on CLOCK_REALTIME
    include Sidekiq::Job

    def perform(pushed_at)
      late = Process.clock_gettime(Process::CLOCK_REALTIME) - pushed_at
      STAMPS.write(format("%.9f\n", late))
    end
  end

  class Mark
    include Sidekiq::Job

    def perform(_)
      STAMPS.write(format("%.9f\n", Process.clock_gettime(Process::CLOCK_REALTIME)))
    end
  end

  class Slow
    include Sidekiq::Job

    def perform(number)
      sleep(0.25)
      STAMPS.write("#{number}\n")
    end
  end
end
