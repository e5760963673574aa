"""A worker and a client that works with Ruby Sidekiq: the same Redis, queues, retries and dashboards."""
