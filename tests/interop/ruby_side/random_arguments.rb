# Arguments of ActiveJobs at random, as Rails serialises them. Loaded after active_jobs.rb.
class RandomArguments
  ZONES = %w[UTC Europe/Paris Asia/Kolkata America/St_Johns Pacific/Apia Australia/Lord_Howe].map { |name| Time.find_zone!(name) }
  LETTERS = [*"a".."e", " ", "ü", "💥", "\u2028", "</", "\u0000", "_aj", ":"]
  FLAT = %i[nothing flag text number symbol date time offset zoned datetime duration decimal constant record]
  FLAT << :range if ActiveJob.version >= Gem::Version.new("7")
  DEEP = %i[list strings symbols indifferent] * 2

  def initialize(seed)
    @rng = Random.new(seed)
  end

  def list_of_arguments
    given = Array.new(@rng.rand(1..4)) { any(0) }
    given << keywords(a: any(1), ü: any(2)) if @rng.rand < 0.3
    Sidekiq.dump_json(ActiveJob::Arguments.serialize(given))
  end

  def any(depth)
    kind = pick(depth < 4 ? FLAT + DEEP : FLAT)
    DEEP.include?(kind) ? send(kind, depth + 1) : send(kind)
  end

  def pick(from) = from.sample(random: @rng)

  def moment = Time.at(Rational(@rng.rand(-5_000_000_000 * 10**9..7_000_000_000 * 10**9), 10**9).round(pick([0, 3, 6, 9])))

  def nothing = nil

  def flag = pick([true, false])

  def text = Array.new(@rng.rand(0..6)) { pick(LETTERS) }.join

  def number = pick([@rng.rand(-5..5), @rng.rand(2**80) - 2**79, @rng.rand * 10**@rng.rand(-9..18), -0.0])

  def symbol = text.to_sym

  def date = Date.new(1970, 1, 1) + @rng.rand(-700_000..2_900_000)

  def time = moment.utc

  def offset = moment.getlocal(@rng.rand(-720..840) * 60)

  def zoned = pick(ZONES).at(moment)

  def datetime = moment.getlocal(@rng.rand(-12..14) * 3600).to_datetime

  def duration
    whole = pick(%i[days weeks months years]).then { |part| @rng.rand(-9..9).public_send(part) }
    whole + pick([@rng.rand(-9..9), @rng.rand(1..9) / 4.0]).public_send(pick(%i[seconds minutes hours]))
  end

  def decimal
    BigDecimal(pick(["#{@rng.rand(10**20) - 10**19}e#{@rng.rand(-30..10)}", "0", "-0", "NaN", "Infinity", "-Infinity"]))
  end

  def constant = pick([String, Kernel, Process::Status, ActiveJob::Base])

  def record = Person.new("#{text}#{@rng.rand(9)}")

  def range = pick([1..@rng.rand(9), (date...), (..text), ("a".."z"), (zoned..zoned), (1...number)]) rescue 1..2

  def list(depth) = Array.new(@rng.rand(0..4)) { any(depth) }

  def strings(depth) = Array.new(@rng.rand(0..4)) { [text + "k", any(depth)] }.to_h

  def symbols(depth) = Array.new(@rng.rand(0..4)) { |n| [n.even? ? :"#{text}s" : "#{text}t", any(depth)] }.to_h

  def indifferent(depth) = strings(depth).with_indifferent_access
end
