# The application that the captures were recorded with: jobs that succeed, fail in every known way, or sleep, and
# handlers and middleware that write down what they see. Settings come from the environment: POLL, MAXR, DEADMAX, DEADTO,
# MAXIT; CMW=1 for a client middleware, SMW, SMWNOYIELD, SMWRAISE, SMWMUT for server middlewares, EXTRA for a file to load.
# What happens is appended to the file EVENTS.
require "sidekiq"
require "json"
require_relative "surroundings"

def event(*what)
  return unless ENV["EVENTS"]
  File.open(ENV["EVENTS"], "a") { |file| file.write(JSON.generate(what, max_nesting: 0) + "\n") }
end

class ClientSeen
  include Sidekiq::ClientMiddleware if defined?(Sidekiq::ClientMiddleware)

  def call(job_class, job, queue, pool)
    event("client_mw", job_class.class.name, job_class.to_s, job, queue, pool.class.name)
    yield
  end
end

module ServerMiddlewares
  Base = Class.new { include Sidekiq::ServerMiddleware if defined?(Sidekiq::ServerMiddleware) }

  class Seen < Base
    def call(instance, job, queue)
      event("server_mw", instance.class.name, job, queue)
      yield
    end
  end

  class NoYield < Base
    def call(*)
      event("no_yield")
    end
  end

  class Raises < Base
    def call(*)
      raise "server mw"
    end
  end

  # SMWMUT=1 changes the arguments, SMWMUT=2 adds a key.
  class Mutates < Base
    def call(_instance, job, _queue)
      (ENV["SMWMUT"] == "1") ? job["args"] << "extra" : job["added_by_mw"] = 1
      yield
    end
  end

  ASKED_BY = {"SMW" => Seen, "SMWNOYIELD" => NoYield, "SMWRAISE" => Raises, "SMWMUT" => Mutates}
end

Sidekiq.configure_server do |config|
  settings = config.respond_to?(:[]=) ? config : Sidekiq.options
  settings[:poll_interval_average] = ENV["POLL"].to_f if ENV["POLL"]
  settings[:max_retries] = ENV["MAXR"].to_i if ENV["MAXR"]
  settings[:dead_max_jobs] = ENV["DEADMAX"].to_i if ENV["DEADMAX"]
  settings[:dead_timeout_in_seconds] = ENV["DEADTO"].to_f if ENV["DEADTO"]
  settings[:max_iteration_runtime] = ENV["MAXIT"].to_f if ENV["MAXIT"]

  names = [:startup, :heartbeat, :quiet, :shutdown]
  names << :beat if Sidekiq::VERSION >= "7"
  names << :exit if Sidekiq::VERSION >= "8"
  names.each { |name| config.on(name) { event("event", name) } }

  config.death_handlers << ->(job, error) { event("death_handler", job, error.class.name, error.message) }
  config.error_handlers << lambda do |error, context, *|
    event("error_handler", error.class.name, error.message[0, 200], context.keys)
  end
  config.client_middleware { |chain| chain.add(ClientSeen) } if ENV["CMW"]
  ServerMiddlewares::ASKED_BY.each do |name, middleware|
    config.server_middleware { |chain| chain.add(middleware) } if ENV[name]
  end
end

class OkJob
  include Sidekiq::Job

  def perform(*args)
    event("perform", args)
  end
end

class SleepJob
  include Sidekiq::Job

  def perform(seconds)
    event("perform", seconds)
    sleep(seconds)
    event("done", seconds)
  end
end

class SpinJob
  include Sidekiq::Job

  def perform(seconds)
    event("perform", seconds)
    sleep(seconds)
  rescue Exception => error # Sidekiq::Shutdown is an Interrupt
    event("interrupted", error.class.name)
    raise
  ensure
    event("ensure")
  end
end

class OptJob
  include Sidekiq::Job
  sidekiq_options retry: 7, queue: "critical", tags: %w[alpha beta], backtrace: 5, retry_queue: "low", dead: false,
    custom: {"nested" => 1, "sym" => 2}

  def perform(*)
  end
end

module Ns
  module Deep
    class Job
      include Sidekiq::Job

      def perform(*args)
        event("perform", args)
      end
    end
  end
end

class ArgJob
  include Sidekiq::Job

  def perform(first, second = nil)
    event("perform", [first, second])
  end
end

class NotAJob
  def perform(*)
  end
end

class InitFail
  include Sidekiq::Job

  def initialize
    raise "in init"
  end

  def perform(*)
  end
end

# A job class that fails with `message` under the given options; the block adds hooks.
def failing(name, message, options = {}, &hooks)
  job = Class.new do
    include Sidekiq::Job
    define_method(:perform) { |*| raise message }
  end
  Object.const_set(name, job)
  job.sidekiq_options(options)
  job.class_eval(&hooks) if hooks
end

class FailJob
  include Sidekiq::Job

  def perform(*args)
    raise ArgumentError, "boom #{args.inspect}"
  end
end

failing("FailNoRetry", "no retry", retry: false)
failing("FailRetry0", "retry zero", retry: 0)
failing("FailRetryQueue", "rq", retry_queue: "low")
failing("FailRetryFor", "rf", retry_for: 3600)
failing("FailRetryForShort", "rf", retry_for: 1)
failing("FailRetry1", "retry one", retry: 1) do
  sidekiq_retries_exhausted { |job, error| event("exhausted_block", job, error.class.name) }
end
failing("FailDeadFalse", "dead false", retry: 0, dead: false) do
  sidekiq_retries_exhausted { |job, error| event("exhausted_block", job, error.class.name) }
end
failing("FailExhRaise", "x", retry: 0) do
  sidekiq_retries_exhausted { |_job, _error| raise "in exhausted" }
end
failing("FailExhDiscard", "x", retry: 0) do
  sidekiq_retries_exhausted do |job, error|
    event("exhausted_block", job, error.class.name)
    :discard
  end
end

{
  "Int" => 5, "Float" => 7.9, "Str" => "5", "Zero" => 0, "Neg" => -5, "Nil" => nil, "Big" => 1_000_000_000,
  "Arr" => [1], "Bogus" => :bogus, "Default" => :default, "Discard" => :discard, "Kill" => :kill
}.each do |name, answer|
  failing("RetryIn#{name}", "retry_in #{name}") do
    sidekiq_retry_in do |*given|
      event("retry_in_args", given.map { |one| one.is_a?(Exception) ? "EX #{one.class}" : one })
      answer
    end
    sidekiq_retries_exhausted { |job, _error| event("exhausted_block", job["retry_count"]) } if name == "Kill"
  end
end
failing("RetryInRaise", "x") do
  sidekiq_retry_in { |*| raise "bad block" }
end

module Deep
  def deep(levels)
    levels.zero? ? raise("deep boom") : deep(levels - 1)
  end
end

class FailBt3
  include Sidekiq::Job
  include Deep
  sidekiq_options backtrace: 3

  def perform(*)
    deep(3)
  end
end

class FailBtTrue
  include Sidekiq::Job
  include Deep
  sidekiq_options backtrace: true

  def perform(*)
    deep(3)
  end
end

class Bad < StandardError
  def message
    raise "nope"
  end
end

class FailMsg
  include Sidekiq::Job

  def perform(kind)
    case kind
    when "empty" then raise ""
    when "long" then raise "x" * 12_000
    when "binary" then raise "bad \xff\xfe bytes"
    when "unicode" then raise "ünïcödé ✓ 💥 \u2028 </script>"
    when "anon" then raise Class.new(StandardError), "anon"
    when "msgraise" then raise Bad
    when "nsclass" then raise JSON::ParserError, "ns"
    when "interrupt" then raise Interrupt, "int"
    when "nomem" then raise NoMemoryError, "nm"
    when "exit" then exit
    when "rubyerr" then nil.foo
    when "cause"
      begin
        raise "inner"
      rescue
        raise ArgumentError, "outer"
      end
    end
  end
end

require_relative "iterable" if defined?(Sidekiq::IterableJob)
require ENV["EXTRA"] if ENV["EXTRA"]
