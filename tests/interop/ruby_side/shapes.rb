# Forty shapes of arguments, each a list as given to perform_async.
DEEP = 90

SHAPES = {
  "nothing" => [],
  "null" => [nil],
  "true" => [true],
  "false" => [false],
  "zero" => [0],
  "negative" => [-17],
  "largest of 64 bits signed" => [2**63 - 1],
  "just past 64 bits signed" => [2**63],
  "just past 64 bits unsigned" => [2**64],
  "smallest of 64 bits" => [-(2**63)],
  "thirty digits" => [123_456_789_012_345_678_901_234_567_890],
  "minus a googol" => [-(10**100)],
  "just past 53 bits" => [2**53 + 1],
  "a half" => [0.5],
  "a tenth and two tenths" => [0.1 + 0.2],
  "a whole float" => [100.0],
  "minus zero" => [-0.0],
  "float of 1e16" => [1e16],
  "float of 1e20" => [1e20],
  "small float" => [1.5e-07],
  "largest float" => [Float::MAX],
  "smallest float" => [5e-324],
  "many digits" => [3.141592653589793, 2.718281828459045, 1.7976931348623157e+300],
  "empty string" => [""],
  "ascii" => ["plain"],
  "accents" => ["ünïcödé ß ñ"],
  "emoji" => ["💥 👩‍👩‍👧 🇨🇭"],
  "other scripts" => ["日本語 العربية עברית ไทย"],
  "quotes and slashes" => ["quote\" back\\ slash/ </script> <&>"],
  "control characters" => ["tab\t nl\n cr\r bell\u0007 esc\e del\u007f"],
  "nul" => ["a\u0000b"],
  "line separators" => ["\u2028 \u2029 \u0085 \ufeff \ufffd"],
  "looks like an escape" => ["\\u0041 \\n %s #{'#'}{x}"],
  "combining and outside the plane" => ["e\u0301 \u{1F468} \u{10FFFF}"],
  "empty list and object" => [[], {}],
  "nested" => [[1, [2.5, ["x", {"k" => [nil, true, {"deep" => []}]}]]]],
  "order of keys" => [{"z" => 1, "a" => 2, "m" => {"2" => "two", "10" => "ten", "" => "empty"}}],
  "keys of all kinds" => [{"ключ" => 1, "a b" => 2, "\u0000" => 3, "💥" => 4, "null" => nil}],
  "a hundred thousand characters" => ["x" * 100_000],
  "deep" => [DEEP.times.inject("bottom") { |inner, _| [inner] }],
  "many arguments" => (0...200).map { |i| i.even? ? i : "s#{i}" },
  "looks like a job" => [{"class" => "EchoJob", "args" => [1], "jid" => "0" * 24, "queue" => "other"}],
  "number-like strings" => ["1", "1.0", "1e5", "NaN", "null", "true"],
}.freeze

def push_shapes
  SHAPES.map { |name, args| Py::Echo.perform_async(name, described(args), *args) }
end

# What came back in a queue, compared with what was sent: {name => what is wrong}; an empty object is a success.
def compare_shapes(queue)
  sent = SHAPES.dup
  wrong = {}
  Sidekiq::Queue.new(queue).each do |job|
    name, _view, *args = job.args
    expected = sent.delete(name)
    next wrong[name] = "came twice or was never sent" if expected.nil?
    next wrong[name] = "the type or the value changed: #{args.inspect[0, 200]}" if described(args) != described(expected)
    text = JSON.generate(expected, max_nesting: 0)[1..-2]
    wrong[name] = "the JSON text changed: #{job.value[0, 300]}" unless job.value.include?(text)
  end
  sent.each_key { |name| wrong[name] = "did not come back" }
  wrong
end
