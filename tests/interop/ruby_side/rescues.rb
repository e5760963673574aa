# What Rails makes of an error: declarations and errors come from the test, as does the job data. Loaded after active_jobs.rb.
module Err
  Base = Class.new(StandardError)
  Child = Class.new(Base)
  Other = Class.new(StandardError)
  Stranger = Class.new(StandardError)
end

module Rescues
  TOLD = []

  class Kept # an adapter that remembers what is enqueued
    def enqueue(job) = keep(job, nil)

    def enqueue_at(job, at) = keep(job, at.to_f - Time.now.to_f)

    def enqueue_after_transaction_commit? = false

    def keep(job, wait)
      data = job.serialize
      TOLD << ["again", wait&.round, *data.values_at("queue_name", "priority", "executions", "exception_executions")]
    end
  end

  class << self
    def outcome(levels, chain, prior, hooks)
      TOLD.clear
      raised = nil
      begin
        job = made(levels, chain, hooks).new
        job.deserialize({"job_class" => "RescuedAj", "job_id" => "x", "queue_name" => "low", "priority" => nil,
                         "arguments" => [], "locale" => "en", **prior})
        job.perform_now
      rescue => error
        raised = error.class.name
      end
      {"told" => TOLD.dup, "raised" => raised}
    end

    # One class under the other, each with its declarations.
    def made(levels, chain, hooks)
      base = Class.new(ActiveJob::Base) do
        self.queue_adapter = Kept.new
        define_singleton_method(:name) { "RescuedAj" }
        define_method(:perform) do
          TOLD << ["perform"]
          Rescues.fail_with(chain)
        end
        after_discard { |_, error| TOLD << ["after_discard", error.class.name] } if respond_to?(:after_discard)
      end
      levels.inject(base) do |above, declarations|
        Class.new(above) do
          declarations.each { |one| Rescues.declare(self, one) }
          hooks.each { |kind, does| Rescues.callback(self, kind, does) }
          hooks = []
        end
      end
    end

    # The first of the chain, caused by the second, and so on.
    def fail_with(chain)
      return if chain.empty?
      begin
        fail_with(chain.drop(1))
      rescue StandardError # it becomes the cause
        raise Err.const_get(chain.first)
      end
      raise Err.const_get(chain.first)
    end

    def declare(job, one)
      errors = one["errors"].map { |name| Err.const_get(name) }
      tell = ->(_, error) { TOLD << [one["name"], error.class.name] }
      case one["kind"]
      when "retry_on"
        options = {wait: one["wait"], attempts: one["attempts"], queue: one["queue"], jitter: 0, priority: one["priority"]}
        job.retry_on(*errors, **options, &(tell if one["block"]))
      when "discard_on"
        job.discard_on(*errors, &(tell if one["block"]))
      when "rescue_from"
        job.rescue_from(*errors) do |error|
          tell.call(self, error)
          retry_job(wait: one["wait"], queue: one["queue"]) if one["does"] == "retry"
          raise Err::Stranger if one["does"] == "raise"
        end
      end
    end

    def callback(job, kind, does)
      act = lambda do
        TOLD << [kind]
        throw :abort if does == "halts"
        raise Err::Base if does == "raises"
      end
      case kind
      when /before/ then job.before_perform { act.call }
      when /after/ then job.after_perform { act.call }
      else
        job.around_perform do |_, block|
          act.call
          unless does == "swallows"
            block.call
            TOLD << ["#{kind} out"]
          end
        end
      end
    end
  end
end
