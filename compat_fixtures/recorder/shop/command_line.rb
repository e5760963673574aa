# Prints the capture cli_and_yaml_config: what Sidekiq's command line makes of flags, environment and YAML files.
# Each case is parsed in a process of its own: {"name": …, "sidekiq": …, "ruby": …, "redis": {}, "yaml_files": …, "cases": …}
require "sidekiq"
require "sidekiq/cli"
require "fileutils"
require "json"

YML = "/srv/yml" # messages name this folder; it is there only while this runs
SHOP = ["-r", "#{__dir__}/app.rb"]
FILES = JSON.parse(File.read("#{__dir__}/config/command_line.json"))

def yml(name, *flags)
  [*SHOP, "-C", "#{YML}/#{name}.yml", *flags]
end

# name => [arguments, environment, folder]
CASES = FILES.keys.to_h { |file| ["yml #{file}", yml(file.delete_suffix(".yml"))] }.merge(
  "yml env_sections -e production" => yml("env_sections", "-e", "production"),
  "yml env_sections -e staging" => yml("env_sections", "-e", "staging"),
  "yml env_sections RAILS_ENV=production" => [yml("env_sections"), {"RAILS_ENV" => "production"}],
  "yml env_sections RACK=production" => [yml("env_sections"), {"RACK_ENV" => "production"}],
  "yml env_sections APP=staging,RAILS=production" =>
    [yml("env_sections"), {"APP_ENV" => "staging", "RAILS_ENV" => "production"}],
  "yml anchors -e production" => yml("anchors", "-e", "production"),
  "yml + -c" => yml("symbols_weights", "-c", "2"),
  "yml + -q" => yml("symbols_weights", "-q", "only"),
  "missing config" => yml("nope"),
  "-q forms" => [*SHOP, "-q", "a,3", "-q", "b", "-q", "c,1"],
  "-q ones" => [*SHOP, "-q", "a,1", "-q", "b,1"],
  "-q space" => [*SHOP, "-q", "a 3"],
  "-q dup" => [*SHOP, "-q", "a", "-q", "a"],
  "RAILS_MAX_THREADS" => [SHOP, {"RAILS_MAX_THREADS" => "11"}],
  "RAILS_MAX_THREADS + -c" => [[*SHOP, "-c", "3"], {"RAILS_MAX_THREADS" => "11"}],
  "-t 5 -g tag -v -e test" => [*SHOP, "-t", "5", "-g", "tg", "-v", "-e", "test"],
  "-c abc" => [*SHOP, "-c", "abc"],
  "-c 0" => [*SHOP, "-c", "0"],
  "-t 0" => [*SHOP, "-t", "0"],
  "-i 3" => [*SHOP, "-i", "3"],
  "-d" => [*SHOP, "-d"],
  "-L x" => [*SHOP, "-L", "x"],
  "-P x" => [*SHOP, "-P", "x"],
  "-V" => ["-V"],
  "-h" => ["-h"],
  "--bogus" => ["--bogus"],
  "no require" => ["-r", "#{YML}/config"],
  "long flags" => %w[--concurrency 4 --queue q1 --timeout 3 --tag t --environment x --verbose --require] + [SHOP.last],
  "no flags cwd" => [[], {}, YML]
)

def parsed(cli)
  six = Sidekiq.respond_to?(:options)
  config = six ? Sidekiq.options : cli.config
  {
    concurrency: six ? config[:concurrency] : config[:concurrency].inspect,
    queues: (config[:queues] if six), strict: (config[:strict] if six),
    timeout: config[:timeout], tag: config[:tag], env: cli.environment, labels: config[:labels].to_a,
    verbose: config[:verbose], pia: config[:poll_interval_average], aspi: config[:average_scheduled_poll_interval],
    max_retries: config[:max_retries], dead_max_jobs: config[:dead_max_jobs], custom: config[:custom],
    environment_opt: config[:environment], require: config[:require], capsules: (capsules(config) unless six)
  }.compact
end

def capsules(config)
  config.capsules.transform_values do |capsule|
    {q: capsule.queues, w: capsule.weights, m: capsule.mode, c: capsule.concurrency}
  end
end

def outcome(arguments, environment = {}, folder = Dir.pwd)
  ENV.update(environment)
  Dir.chdir(folder)
  cli = Sidekiq::CLI.instance
  cli.parse(arguments)
  parsed(cli)
rescue SystemExit => ended
  {EXIT: ended.status}
rescue StandardError, ScriptError => error
  {ERR: "#{error.class}: #{error.message}"}
end

# The outcome of a case, from a process that is gone when it is known.
def apart(name, given)
  given = [given] unless given.first.is_a?(Array)
  reading, writing = IO.pipe
  child = fork do
    [$stdout, $stderr].each { |stream| stream.reopen(IO::NULL) }
    writing.write(JSON.generate(outcome(*given)))
    writing.close
    exit!
  end
  writing.close
  text = reading.read
  Process.wait(child)
  {case: name, parsed: JSON.parse(text)}
end

Dir.mkdir(YML)
begin
  FileUtils.mkdir_p("#{YML}/config")
  File.write("#{YML}/config/application.rb", "") # what makes a folder a Rails application
  FILES.each { |name, text| File.write("#{YML}/#{name}", text) }
  call = "Sidekiq::CLI.instance.parse(args), one forked process per case; 'yml X' means -r #{SHOP.last} -C X"
  cases = CASES.map { |name, given| apart(name, given) }
  puts JSON.generate(
    name: "cli_and_yaml_config", sidekiq: Sidekiq::VERSION, ruby: call, redis: {}, yaml_files: FILES, cases: cases
  )
ensure
  FileUtils.rm_rf(YML)
end
