# Evaluates the calls of cases.json in the application APP: one JSON request per line on standard input, one answer per line.
answers = $stdout.dup
$stdout.reopen($stderr)
answers.sync = true

require_relative ENV.fetch("APP")

module Middlewares
  Recorder = Class.new do
    def call(job_class, job, queue, pool)
      shown = job_class.is_a?(Class) ? "Class:#{job_class.name}" : job_class
      ($mw ||= []) << [shown, Marshal.load(Marshal.dump(job)), queue, pool.class.name]
      yield
    end
  end
  Stopper = Class.new do
    def call(*)
      false
    end
  end
  Mutator = Class.new do
    def call(_job_class, job, _queue, _pool)
      job["tenant"] = 42
      job["queue"] = "moved"
      yield
    end
  end
  Scheduler = Class.new do
    def call(_job_class, job, _queue, _pool)
      job["at"] = 2_000_000_000.5
      yield
    end
  end
  Alternator = Class.new do
    def call(_job_class, job, _queue, _pool)
      job["queue"] = job["args"] == [2] ? "q2" : "q1"
      yield
    end
  end
end
RecMW, StopMW, MutMW, AtMW, AltMW =
  Middlewares::Recorder, Middlewares::Stopper, Middlewares::Mutator, Middlewares::Scheduler, Middlewares::Alternator

def with_mw(middleware)
  chain = Sidekiq.respond_to?(:default_configuration) ? Sidekiq.default_configuration.client_middleware : Sidekiq.client_middleware
  $mw = nil
  chain.add(middleware)
  yield
ensure
  chain.remove(middleware)
end

def redis(*command)
  Sidekiq.redis { |connection| connection.call(*command.map { |part| part.is_a?(String) ? part.b : part }) }
end

MAJOR = Sidekiq::VERSION.to_i

# The recorder's own connection: what it sends is in no capture.
R = (MAJOR == 6) ? Redis.new(url: ENV["REDIS_URL"], id: "recorder") : RedisClient.config(url: ENV["REDIS_URL"], id: "recorder").new_client

# An entry that failed three times, as this version writes its times.
def entry(key)
  times = (MAJOR < 8) ? [1700000000.5, 1700000000.6, 1700000001.5, 1700000050.5] : [1700000000000, 1700000000001, 1700000001000, 1700000050000]
  names = %w[created_at enqueued_at error_message error_class failed_at retry_count retried_at]
  about = names.zip([*times.first(2), "boom", "ArgumentError", times[2], 2, times[3]]).to_h
  job = {"retry" => true, "queue" => "low", "args" => [1], "class" => "FailJob", "jid" => "a" * 24}
  R.call("ZADD", key, "1700000100.25", JSON.generate(job.merge(about)))
end

$stdin.each_line do |line|
  code = JSON.parse(line)
  answer =
    begin
      {"returned" => TOPLEVEL_BINDING.eval(code)}
    rescue Exception => error # whatever a call raises is what the capture shows
      {"raised" => "#{error.class}: #{error.message}"}
    end
  answers.puts(JSON.generate(answer, max_nesting: 0))
end
