# Reads the fleet through Sidekiq's own API and tells it in the same words for all versions.
require "sidekiq/api"

SETS = {"retry" => Sidekiq::RetrySet, "schedule" => Sidekiq::ScheduledSet, "dead" => Sidekiq::DeadSet}.freeze

def times(record, key)
  record.respond_to?(key) ? record.public_send(key) : Time.at(record[key.to_s])
end

def told(entry)
  {
    jid: entry.jid, klass: entry.klass, display_class: entry.display_class, args: entry.args, queue: entry.queue,
    tags: entry.tags, created_at: entry.created_at, latency: entry.latency, score: entry.score, at: entry.at, error: entry.error?,
    error_class: entry["error_class"], error_message: entry["error_message"], retry_count: entry["retry_count"],
    failed_at: entry["failed_at"] && times(entry, :failed_at),
    retried_at: entry["retried_at"] && times(entry, :retried_at),
    backtrace: entry.error_backtrace
  }
end

def entries(set)
  SETS.fetch(set).new.map { |entry| told(entry) }
end

def entry(set, jid)
  SETS.fetch(set).new.find_job(jid)
end

def work
  found = []
  (defined?(Sidekiq::WorkSet) ? Sidekiq::WorkSet : Sidekiq::Workers).new.each do |identity, thread, item|
    old = item.is_a?(Hash)
    payload = old ? item["payload"] : item.payload
    payload = JSON.parse(payload) if payload.is_a?(String)
    run_at = old ? Time.at(item["run_at"]) : item.run_at
    found << {identity: identity, thread: thread, queue: old ? item["queue"] : item.queue, run_at: run_at, payload: payload}
  end
  found
end

def processes
  Sidekiq::ProcessSet.new.map do |process|
    {
      identity: process.identity, tag: process.tag, labels: process.labels, queues: process.queues,
      busy: process["busy"], quiet: process["quiet"], stopping: process.stopping?, concurrency: process["concurrency"],
      started_at: process["started_at"], beat: process["beat"], rss: process["rss"], pid: process["pid"],
      hostname: process["hostname"], version: process.respond_to?(:version) ? process.version : nil,
      embedded: process.respond_to?(:embedded?) ? process.embedded? : nil,
      weights: process.respond_to?(:weights) ? process.weights : nil,
      capsules: process.respond_to?(:capsules) ? process.capsules : nil
    }
  end
end

def process(identity)
  Sidekiq::ProcessSet.new.find { |process| process.identity == identity } or raise "no process #{identity}"
end

def stats
  now = Sidekiq::Stats.new
  {
    processed: now.processed, failed: now.failed, retry_size: now.retry_size, dead_size: now.dead_size,
    scheduled_size: now.scheduled_size, enqueued: now.enqueued, processes_size: now.processes_size,
    workers_size: now.workers_size, queues: now.queues, default_queue_latency: now.default_queue_latency,
    history: {processed: Sidekiq::Stats::History.new(1).processed, failed: Sidekiq::Stats::History.new(1).failed}
  }
end
