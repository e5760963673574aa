# Prints the capture float_text: the text that this json gem generates for the doubles of floats.txt.
require "json"

# All digits of a double, also zeros at the end; Ruby's %a leaves them out.
def hexadecimal(double)
  bits = [double].pack("G").unpack1("Q>")
  exponent, fraction = (bits >> 52) & 0x7ff, bits & (2**52 - 1)
  sign = bits[63].zero? ? "" : "-"
  return "#{sign}0x0.0p+0" if double.zero?
  format("%s0x%d.%013xp%+d", sign, exponent.zero? ? 0 : 1, fraction, [exponent, 1].max - 1023)
end

doubles = File.read("#{__dir__}/floats.txt").split.map { |text| Float(text) }
note = "hex form of the double, the text this json gem generates for it"
floats = doubles.map { |double| [hexadecimal(double), JSON.generate(double)] }
puts JSON.generate(name: "float_text", ruby: RUBY_VERSION, json_gem: JSON::VERSION, note: note, redis: {}, floats: floats)
