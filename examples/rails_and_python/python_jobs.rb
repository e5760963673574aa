# Jobs that run in Python. Written by `pykiq stubs ruby`: write it again instead of editing it.
#
# Load it wherever Ruby pushes these jobs or serves their queues. A Sidekiq server that takes one hands it to the queue
# "python", which only Python may serve: same jid, same keys, no retry counted.

require "sidekiq"

module PythonJobs
  QUEUE = "python"
  CLASSES = [
    "Reports::BuildJob",
  ].freeze

  # The outermost server middleware. It pushes before Sidekiq forgets the job, and past all client middleware, which
  # would take it for a new one.
  class Handover
    def call(_instance, job, queue)
      return yield unless CLASSES.include?((job["wrapped"] || job["class"]).to_s.delete_prefix("::"))
      raise "queue #{QUEUE} is Python's alone, but this Sidekiq serves it: leave it out" if queue == QUEUE

      payload = Sidekiq.dump_json(job.merge("queue" => QUEUE))
      Sidekiq.redis do |redis|
        redis.sadd("queues", [QUEUE])
        redis.lpush("queue:#{QUEUE}", payload)
      end
    end
  end
end

Sidekiq.configure_server do |config|
  config.server_middleware { |chain| chain.prepend PythonJobs::Handover }
end

module Reports; end unless defined?(Reports)

# build(title: str), in handlers
class Reports::BuildJob
  include Sidekiq::Job
  sidekiq_options(retry: true, queue: "shared")

  def perform(*)
    raise NotImplementedError, "Reports::BuildJob runs in Python"
  end
end
