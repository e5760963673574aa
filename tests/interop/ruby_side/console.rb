# Evaluates Ruby sent by the tests: one JSON request per line on standard input, one JSON answer per line.
# Whatever the libraries print goes to standard error.
answers = $stdout.dup
$stdout.reopen($stderr)
answers.sync = true

require_relative "jobs"
require_relative "reading"
require_relative "pages"
require_relative "shapes"

def plain(value)
  case value
  when nil, true, false, Integer, Float then value
  when String then value.dup.force_encoding("UTF-8").scrub
  when Symbol then value.to_s
  when Time then value.to_f
  when Hash then value.to_h { |key, item| [plain(key).to_s, plain(item)] }
  when Enumerable then value.map { |item| plain(item) }
  else value.inspect
  end
end

room = Object.new.instance_eval { binding }
$stdin.each_line do |line|
  request = JSON.parse(line)
  answer =
    begin
      request["given"].each { |name, value| room.local_variable_set(name, value) }
      {"value" => plain(room.eval(request["code"]))}
    rescue Exception => error # a question of a test must never end the console
      {"error" => "#{error.class}: #{error.message}\n#{error.backtrace.first(6).join("\n")}"}
    end
  answers.puts(JSON.generate(answer, max_nesting: 0))
end
