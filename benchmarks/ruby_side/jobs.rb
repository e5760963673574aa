# The jobs of the benchmark in Ruby; ../python_side/handlers.py has the same in Python.
require "sidekiq"

# A chroot without /proc: Sidekiq reads its memory there at each heartbeat and would never get one out.
unless File.exist?("/proc/#{$$}/status")
  Dir.mkdir("/proc/#{$$}") unless Dir.exist?("/proc/#{$$}")
  File.write("/proc/#{$$}/status", "VmRSS:\t   40000 kB\n")
end

EXTRAS = ENV.fetch("EXTRAS", "").split
if EXTRAS.include?("activejob")
  require "active_job"
  ActiveJob::Base.queue_adapter = :sidekiq
  ActiveJob::Base.logger = nil
end

class Around
  include Sidekiq::ServerMiddleware

  def call(_instance, _job, _queue)
    yield
  end
end

FurtherAround = Class.new(Around)
Innermost = Class.new(Around)

Sidekiq.configure_server do |config|
  if EXTRAS.include?("middleware")
    config.server_middleware do |chain|
      [Around, FurtherAround, Innermost].each { |one| chain.add(one) }
    end
  end
  if ENV["LOG"] == "json"
    config.logger.formatter = Sidekiq::Logger::Formatters::JSON.new
  else
    config.logger.level = Logger::WARN
  end
end

STAMPS = File.open(ENV.fetch("STAMPS", File::NULL), "a")
STAMPS.sync = true

TIMES = File.open(ENV.fetch("STAMPS", File::NULL), "a")

module Bench
  def self.burn(seconds) # use so much CPU time
    clock = Process::CLOCK_THREAD_CPUTIME_ID
    ends = Process.clock_gettime(clock) + seconds
    nil while Process.clock_gettime(clock) < ends
  end

  class Timed # notes when it was pushed and started, without a system call; computes, then sleeps, for so many seconds
    include Sidekiq::Job

    def perform(pushed_at, pause, compute)
      started = Process.clock_gettime(Process::CLOCK_REALTIME)
      TIMES.write(format("%.9f %.9f\n", pushed_at, started))
      Bench.burn(compute) if compute > 0
      sleep(pause) if pause > 0
    end
  end

  class Flush # brings what was noted to the file, with this number as the last line
    include Sidekiq::Job

    def perform(number)
      TIMES.write("0 #{number}\n")
      TIMES.flush
    end
  end

  DEPTH = 30 # frames

  class Deep # fails so many frames deep
    include Sidekiq::Job

    def perform(frames = DEPTH)
      raise ArgumentError, "out of luck" if frames == 1
      perform(frames - 1)
    end
  end

  class Child
    include Sidekiq::Job
    sidekiq_options queue: "unserved"
  end

  class Fan # pushes so many jobs to a queue that nobody serves
    include Sidekiq::Job

    def perform(count)
      count.times { |number| Child.perform_async(number) }
    end
  end

  class AsyncFan < Fan
  end

  if EXTRAS.include?("activejob")
    class Mail < ActiveJob::Base
      def perform(number, to)
      end
    end
  end

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
