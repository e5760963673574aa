# What a controller would do: sets who is asking, pushes a job for Python, and here also waits for the answer.
require_relative "app"

title = "Q3-#{Process.pid}"
Current.user_id = 42
puts "pushed #{Reports::BuildJob.perform_async(title)}"

answer = nil
300.times do
  answer = Sidekiq.redis { |redis| redis.get("answer:#{title}") }
  break if answer
  sleep 0.1
end
puts answer || abort("no answer within 30 seconds: are both workers running?")
