"""The wire: what Ruby Sidekiq's bytes mean, as pure functions. No Redis, no clock, no randomness of its own."""
