require_relative "application"
Shop::Application.initialize!
require_relative "../aj_jobs"
