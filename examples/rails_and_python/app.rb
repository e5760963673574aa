# The smallest Rails application that has jobs. `sidekiq -r ./app.rb` serves them, push.rb pushes one.
require "rails"
require "active_job/railtie"
require "sidekiq"
require "sidekiq/middleware/current_attributes"

class Shop < Rails::Application
  config.root = __dir__
  config.eager_load = false
  config.logger = Logger.new($stderr, level: :warn)
end
Rails.application.initialize!

class Current < ActiveSupport::CurrentAttributes
  attribute :user_id
end
Sidekiq::CurrentAttributes.persist(Current)

require_relative "python_jobs" # Reports::BuildJob, which runs in Python

class ReportReadyJob # pushed by Python
  include Sidekiq::Job
  sidekiq_options queue: "ruby"

  def perform(title, pages)
    answer = "user #{Current.user_id}: report #{title} has #{pages} pages"
    Sidekiq.redis { |redis| redis.set("answer:#{title}", answer) }
  end
end
