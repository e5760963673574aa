# EXTRA: the middleware that carries I18n's locale.
require "i18n"
I18n.available_locales = %i[en fr]
require "sidekiq/middleware/i18n"

class LocJob
  include Sidekiq::Job

  def perform(*)
    event("locale", I18n.locale)
  end
end
