# Context as a Rails application has it: CurrentAttributes and the locale, kept by Sidekiq's own middleware. Loaded after
# jobs.rb. A client middleware counts how often a job has been pushed.
require "active_support"
require "active_support/current_attributes"
require "active_job"
require "i18n"
require "sidekiq/middleware/i18n"
require "sidekiq/middleware/current_attributes"

I18n.available_locales = %i[en fr de]

class Current < ActiveSupport::CurrentAttributes
  attribute :user_id, :role, :since
end

class Tenancy < ActiveSupport::CurrentAttributes
  attribute :tenant
end

if Sidekiq::VERSION.start_with?("6.")
  Sidekiq::CurrentAttributes.persist(Current) # 6.4 keeps one class
else
  Sidekiq::CurrentAttributes.persist(%w[Current Tenancy])
end

class CountPushes
  def call(_class, job, _queue, _pool)
    job["pushes"] = job["pushes"].to_i + 1
    yield
  end
end

Sidekiq.configure_client { |config| config.client_middleware { |chain| chain.add CountPushes } }
Sidekiq.configure_server { |config| config.client_middleware { |chain| chain.add CountPushes } }

class SeeTrace # where OpenTelemetry's server middleware would begin its span
  def call(_instance, job, _queue)
    Thread.current[:traceparent] = job["traceparent"]
    yield
  end
end

Sidekiq.configure_server { |config| config.server_middleware { |chain| chain.add SeeTrace } }

class ContextBack # pushed by Python
  include Sidekiq::Job
  sidekiq_options queue: "ruby"

  def perform(name)
    current = {"user_id" => Current.user_id, "role" => Current.role&.to_s, "tenant" => Tenancy.tenant}
    current["trace"] = Thread.current[:traceparent]
    heard("notes", {"by" => "ruby", "jid" => jid, "name" => name, "locale" => I18n.locale.to_s, **current})
  end
end

module Ctx # handled by Python
  %w[Relay AsyncRelay Later].each do |name|
    const_set(name, Class.new { include Sidekiq::Job; sidekiq_options queue: "python" })
  end
end
