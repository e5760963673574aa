# The recording application as a Rails application: `sidekiq -r /srv/shop` starts it.
require "rails"
require "active_job/railtie"
require "action_mailer/railtie"
require_relative "../app"

module Shop
  class Application < Rails::Application
    config.load_defaults(Rails::VERSION::STRING.to_f)
    config.root = "#{__dir__}/.."
    config.eager_load = false
    config.logger = Logger.new(IO::NULL)
    config.active_job.queue_adapter = :sidekiq
    config.i18n.available_locales = %i[en fr]
  end
end
