# ActiveJobs of a Rails application, for the sidekiq processes that run with ACTIVE_JOB=1 and for the console.
require "active_job"
require "active_support/all"
require "bigdecimal"
require "global_id"
require "logger"
require "sidekiq/rails" if Sidekiq::VERSION >= "7" # which has the wrapper of its own; needs Rails, which 6.4 is without

ActiveJob::Base.queue_adapter = :sidekiq
ActiveJob::Base.logger = Logger.new(File::NULL)
GlobalID.app = "shop"
Time.zone_default = Time.find_zone!("UTC")

class Person
  include GlobalID::Identification
  attr_reader :id

  def self.find(id)
    new(id)
  end

  def initialize(id)
    @id = id.to_s
  end

  def inspect
    "#<Person #{id}>"
  end
end

# What there is of a value, deep, so that two are alike only when nothing of their types was lost.
def spelled(value)
  case value
  when ActiveSupport::TimeWithZone then ["TimeWithZone", value.iso8601(9), value.time_zone.tzinfo.name]
  when DateTime then ["DateTime", value.iso8601(9)]
  when Time then ["Time", value.iso8601(9)]
  when ActiveSupport::Duration then ["Duration", value.value.inspect, value.parts.to_a.inspect]
  when Array then ["Array", *value.map { |item| spelled(item) }]
  when Hash then [value.class.name, *value.map { |key, item| [key.inspect, spelled(item)] }]
  when Range then ["Range", spelled(value.begin), spelled(value.end), value.exclude_end?]
  else [value.class.name, value.inspect]
  end
end

# What `perform` sees of arguments.
def passed(arguments)
  ActiveJob::Arguments.deserialize(JSON.parse(JSON.generate(ActiveJob::Arguments.serialize(arguments))))
end

def keywords(**given)
  Hash.ruby2_keywords_hash(given)
end

# Arguments by name; `later` is what only Rails 7 can carry.
def values(name)
  zone = Time.find_zone!("Europe/Paris")
  {
    "plain" => [nil, true, false, 1, 2**80, -0.0, 1.5e-7, "größe ✓ 💥", [1, [2, []]]],
    "symbols" => [:sym, [:a, "b"], :"with space"],
    "hashes" => [{}, {a: 1, "b" => {c: [{d: :e}]}}, {"only" => "strings"}],
    "indifferent" => [{a: 1, "b" => {c: [{d: 2}]}}.with_indifferent_access],
    "keywords" => [1, keywords(a: 2, b: {c: :d})],
    "times" => [
      Time.utc(2030, 1, 2, 3, 4, 5.678r), Time.at(1_900_000_000, 123_456_789, :nsec).utc,
      Time.new(2030, 1, 2, 3, 4, 5, "+05:30"), Time.new(2030, 1, 2, 3, 4, 5, "+00:00")
    ],
    "zoned" => [
      zone.local(2030, 7, 1, 12), zone.local(2030, 1, 1), Time.utc(2030, 10, 27, 0, 30).in_time_zone(zone),
      Time.utc(2030, 10, 27, 1, 30).in_time_zone(zone), Time.find_zone!("UTC").local(2030, 1, 1),
      Time.find_zone!("London").at(1_900_000_000, 987_654_321, :nsec)
    ],
    "dates" => [Date.new(2030, 1, 2), DateTime.new(2030, 1, 2, 3, 4, 5.5r, "-3"), DateTime.new(2030, 1, 2)],
    "durations" => [5.minutes, 1.month + 2.days, 1.5.hours, 0.seconds, 2.weeks - 1.day],
    "decimals" => [BigDecimal("12345.678900"), BigDecimal("-1e-20"), BigDecimal("1e30"), BigDecimal("0")],
    "modules" => [String, Kernel, ActiveJob::Base],
    "records" => [Person.new(7), [Person.new("a/b c ü")], {p: Person.new(9)}],
    "ranges" => [1..5, (1...5), (1..), ("a".."c"), (Date.new(2030, 1, 1)..Date.new(2030, 1, 31))]
  }.fetch(name)
end

class EchoAj < ActiveJob::Base # run by Python, which answers with a BackAj
  queue_as :python
end

class BackAj < ActiveJob::Base
  queue_as :ruby

  def perform(name, *args, **given)
    args << given unless given.empty?
    heard("back", {"name" => name, "expected" => spelled(passed(values(name))), "got" => spelled(args)})
  end
end

class NativeAj < ActiveJob::Base # pushed by Python, of Python's own types
  queue_as :ruby

  def perform(*args, **given)
    heard("native", {"args" => spelled(args), "given" => spelled(given), "queue" => queue_name, "priority" => priority})
  end
end

class FlakyAj < ActiveJob::Base # run by both sides
  queue_as :shared
  retry_on ArgumentError, wait: 60, attempts: 3, queue: "shared"

  def perform(*args)
    heard("tries", ["ruby", executions, exception_executions, args, job_id])
    raise ArgumentError, "ruby says no"
  end
end
