# The ActiveJob classes of the recording application, and what they can be given as arguments.
class Person
  include GlobalID::Identification
  attr_reader :id

  def initialize(id)
    @id = id
  end

  def self.find(id)
    raise "Couldn't find #{name} with 'id'=#{id}" if id == "404"
    new(id)
  end

  def inspect
    "#<#{self.class} #{id}>"
  end
end

Money = Struct.new(:cents, :currency)

class MoneySerializer < ActiveJob::Serializers::ObjectSerializer
  def serialize(money)
    super("cents" => money.cents, "currency" => money.currency)
  end

  def deserialize(hash)
    Money.new(hash["cents"], hash["currency"])
  end

  def klass
    Money
  end
end
ActiveJob::Serializers.add_serializers(MoneySerializer)

class ShopMailer < ActionMailer::Base
  def welcome(*)
  end
end

class AjOk < ActiveJob::Base
  def perform(*args, **keywords)
    known = {
      job_id: job_id, provider_job_id: provider_job_id, executions: executions, queue_name: queue_name,
      priority: priority, locale: I18n.locale, zone: Time.zone.name,
      enqueued_at: enqueued_at.inspect, scheduled_at: scheduled_at.inspect
    }
    event("aj_perform", args.map(&:inspect), keywords.inspect, known)
  end
end

module Deep
  class AjNs < ActiveJob::Base
    def perform(*)
    end
  end
end

class AjQueue < ActiveJob::Base
  queue_as :low
  queue_with_priority 10

  def perform(*)
  end
end

class AjProfile < ActiveJob::Base
  def profile
    "tok"
  end

  def perform(*)
  end
end

class AjOpts < ActiveJob::Base
  sidekiq_options retry: 0, backtrace: 2, tags: ["aj"], queue: "ignored"

  def perform(*)
    raise "aj opts"
  end
end

class AjRetryIn < ActiveJob::Base
  sidekiq_options retry: 5
  sidekiq_retry_in do |count|
    event("retry_in", count)
    1000
  end

  def perform(*)
    raise "aj ri"
  end
end

class AjFail < ActiveJob::Base
  def perform(*)
    raise ArgumentError, "aj boom"
  end
end

class AjRetryPoly < AjFail
  retry_on ArgumentError, wait: ((Rails::VERSION::STRING < "7.1") ? :exponentially_longer : :polynomially_longer)
end

class AjRetryOnNoJitter < AjFail
  retry_on ArgumentError, TypeError, wait: 30, jitter: 0, queue: :low, priority: 3
end

class AjRetryZero < AjFail
  retry_on ArgumentError, wait: 0, attempts: 2
end

class AjRetryBlock < AjFail
  retry_on(ArgumentError, attempts: 1) { |job, error| event("retry_on_block", job.job_id, error.message) }
end

class AjRetryOn < ActiveJob::Base
  retry_on ArgumentError, attempts: 3

  def perform(*)
    event("aj_perform", executions, exception_executions)
    raise ArgumentError, "aj boom"
  end
end

class AjDiscard < ActiveJob::Base
  discard_on ArgumentError

  def perform(*)
    event("aj_perform")
    raise ArgumentError, "aj boom"
  end
end
