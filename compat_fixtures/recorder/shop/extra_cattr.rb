# EXTRA: the middleware that carries CurrentAttributes; Sidekiq 6.4 carries those of one class only.
require "active_support/all"
require "active_job" # Sidekiq 8.1 writes the attributes as ActiveJob writes arguments
require "sidekiq/middleware/current_attributes"

class Current < ActiveSupport::CurrentAttributes
  attribute :user_id, :role, :since, :opts

  def self.shown
    attributes.compact.transform_values(&:inspect)
  end
end

class Other < ActiveSupport::CurrentAttributes
  attribute :tenant

  def self.shown
    attributes.compact.transform_values(&:inspect)
  end
end

Sidekiq::CurrentAttributes.persist((Sidekiq::VERSION < "7") ? Current : ["Current", "Other"])

class CatJob
  include Sidekiq::Job

  def perform(*)
    event("current", Current.shown, Other.shown)
  end
end

class CatFail
  include Sidekiq::Job

  def perform(*)
    event("current", Current.shown)
    raise "cf"
  end
end
