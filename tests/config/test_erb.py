"""The ERB of sidekiq.yml: what is read means what it means in Ruby; everything else is refused by its line."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykiq.config.erb import Rendered, render
from pykiq.errors import ConfigError

VARIABLES = {"N": "3", "X": "7", "EMPTY": "", "WORDS": "12 monkeys", "OCTAL": "010", "HEX": "0x1F", "NAME": "mail"}


def refused_value(rendered: Rendered) -> str:
    """Why what stands in the first tag cannot be used."""
    why = rendered.refusal(rendered.text)
    assert why is not None
    return why


@pytest.mark.parametrize(
    ("code", "printed"),
    [
        ('ENV["X"]', "7"),
        ("ENV['X']", "7"),
        ('ENV["NONE"]', ""),
        ('ENV["X"] || 5', "7"),
        ('ENV["NONE"] || 5', "5"),
        ('ENV["EMPTY"] || 5', ""),
        ('ENV["NONE"] || ENV["X"] || 5', "7"),
        ('ENV.fetch("X")', "7"),
        ('ENV.fetch("X", 5)', "7"),
        ('ENV.fetch("NONE", 5)', "5"),
        ('ENV.fetch("NONE", "low")', "low"),
        ('ENV.fetch("NONE", ENV["X"])', "7"),
        ('ENV.fetch("NONE", nil)', ""),
        ('ENV.fetch("NONE") { 5 }', "5"),
        ('ENV.fetch("NONE") do 5 end', "5"),
        ('ENV.fetch("NONE") { ENV.fetch("X") }', "7"),
        ('ENV["X"].to_i', "7"),
        ('ENV["NONE"].to_i', "0"),
        ('ENV["NONE"]&.to_i', ""),
        ('(ENV["NONE"] || 5).to_i', "5"),
        ('ENV["WORDS"].to_i', "12"),
        ('ENV["NAME"].to_i', "0"),
        ('ENV["OCTAL"].to_i', "10"),
        ('ENV["X"].to_f', "7.0"),
        ('ENV["X"].to_s', "7"),
        ('Integer(ENV["X"])', "7"),
        ('Integer(ENV.fetch("NONE", 5))', "5"),
        ('Integer(ENV["NONE"] || "5")', "5"),
        ('Integer(ENV["OCTAL"])', "8"),
        ('Integer(ENV["HEX"])', "31"),
        ('Float(ENV["X"])', "7.0"),
        ("10", "10"),
        ("1_000", "1000"),
        ("2.5", "2.5"),
        ("'it\\'s'", "it's"),
        ('"a\\"b"', 'a"b'),
        ('"a\\tb\\\\x"', "a\tb\\x"),
        (":sym", "sym"),
        ("true", "true"),
        ("nil", ""),
        ("2 + 3", "5"),
        ("2+3*4-1", "13"),
        ("(2 + 3) * 4", "20"),
        ("-3 / 2", "-2"),
        ("7 / 2", "3"),
        ("7.0 / 2", "3.5"),
        ('ENV["X"].to_i + 1', "8"),
        ('ENV["NONE"].to_i + 1', "1"),
        ('ENV.fetch("X", 5).to_i * 2', "14"),
        ('ENV["X"] + ENV["N"]', "73"),
        ('ENV["NONE"] || 2 + 3', "5"),
        ("Rails.env", "staging"),
        ("Rails.env.to_s", "staging"),
        ("Rails.env.staging? ? 25 : 5", "25"),
        ("Rails.env.production? ? 25 : 5", "5"),
        ('Rails.env == "production" ? ENV["MUST"] : 5', "5"),
        ('ENV["X"] ? 1 : 2', "1"),
        ('ENV["NONE"] ? 1 : ENV["N"] == "3" ? "three" : "more"', "three"),
        ('ENV["X"] != "7"', "false"),
        ("1 == true", "false"),
        ('ENV["EMPTY"].presence || 4', "4"),
        ('ENV["NONE"].presence || 4', "4"),
        ('ENV["X"].presence', "7"),
    ],
)
def test_a_supported_form_prints_what_ruby_prints(code: str, printed: str) -> None:
    assert render(f"a: <%= {code} %>!", VARIABLES, "f.yml", "staging").text == f"a: {printed}!"


def test_what_a_file_asks_of_the_machine_is_answered() -> None:
    processors = len(os.sched_getaffinity(0))
    text = render("<%= Etc.nprocessors * 2 %> <%= Socket.gethostname %>", {}, "f.yml").text
    assert text == f"{processors * 2} {socket.gethostname()}"


@pytest.mark.parametrize(
    "code",
    [
        "`id`",
        'system("id")',
        "Rails.root",
        "Etc.passwd",
        "2 ** 3",
        "2 +",
        '-ENV["X"]',
        'ENV["X"] ? 1',
        '"#{ENV["X"]}_q"',
        '"\\u0041"',
        '"\\101"',
        "ENV.to_h",
        "ENV",
        "ENV[X]",
        'ENV["X"].upcase',
        'ENV["X"',
        'ENV.fetch("X"',
        'ENV["X"] 5',
        "010",
        "",
        "__import__('os')",
    ],
)
def test_anything_else_is_refused_with_its_line_and_what_is_supported(code: str) -> None:
    message = refused_value(render(f"a: 1\nb: <%= {code} %>\n", VARIABLES, "f.yml"))
    assert message.startswith("f.yml:2: `<%=")
    assert "supported are ENV[" in message


@pytest.mark.parametrize("code", ['ENV["X"] + 1', '1 + ENV["X"]', "ENV['X'] * 2", "nil + 1", "true + 1", "1 / 0"])
def test_arithmetic_that_ruby_refuses_is_refused(code: str) -> None:
    assert refused_value(render(f"<%= {code} %>", VARIABLES, "f.yml")).startswith(f"f.yml:1: `<%= {code} %>`: ")


def test_ruby_code_is_told_with_its_line_and_never_run() -> None:
    rendered = render("a: 1\n<% 3.times do %>\n- x\n<% end %>\n", {}, "f.yml")
    assert [refused.line for refused in rendered.code] == [2, 4]
    assert rendered.code[0].message.startswith("f.yml:2: `<% 3.times do %>` is Ruby code")
    assert rendered.text == "a: 1\n\n- x\n\n"


def test_loading_a_library_of_rubys_says_nothing() -> None:
    rendered = render('<% require "etc" %><% require "a/b"; require_relative \'socket\' %>x', {}, "f.yml")
    assert (rendered.text, rendered.code) == ("x", ())


def test_a_refused_tag_can_be_shown_as_it_is_written() -> None:
    rendered = render("a: x-<%= foo %>-y\nb: <%= bar %>\n", {}, "f.yml")
    assert rendered.as_written(rendered.text) == "a: x-<%= foo %>-y\nb: <%= bar %>\n"
    assert "`<%= bar %>`" in str(rendered.refusal(rendered.text.split("\n")[1]))
    assert rendered.refusal("plain") is None


def test_a_value_that_looks_like_the_mark_of_a_refused_tag_is_none() -> None:
    rendered = render("\ue0000\ue001 <%= ENV['M'] %> <%= foo %>", {"M": "\ue0007\ue001"}, "f.yml")
    assert rendered.as_written(rendered.text) == "\ufffd \ufffd <%= foo %>"


def test_fetch_without_a_default_refuses_a_variable_that_is_not_set() -> None:
    message = refused_value(render('\n\n<%= ENV.fetch("NONE") %>', {}, "f.yml"))
    assert message == 'f.yml:3: `<%= ENV.fetch("NONE") %>` needs the variable NONE, which is not set; set it'
    assert render('<%= ENV["X"] || ENV.fetch("NONE") %>', VARIABLES, "f.yml").text == "7"


@pytest.mark.parametrize(
    "code", ['Integer(ENV["NAME"])', 'Integer(ENV["NONE"])', 'Integer(ENV["EMPTY"])', "Float('x')"]
)
def test_a_strict_conversion_refuses_what_is_no_number_without_showing_it(code: str) -> None:
    message = refused_value(render(f"<%= {code} %>", VARIABLES, "f.yml"))
    assert message.startswith(f"f.yml:1: `<%= {code} %>`: ")
    assert "() was given " in message
    assert "mail" not in message


@pytest.mark.parametrize(
    "code", ["(" * 20_000 + "1" + ")" * 20_000, "1 + " * 20_000 + "1", 'ENV["X"] ? ' * 20_000, "-" * 20_000 + "1"]
)
def test_an_expression_without_end_is_refused(code: str) -> None:
    assert "is not supported" in refused_value(render(f"<%= {code} %>", VARIABLES, "f.yml"))


def test_brackets_may_be_as_deep_as_anybody_writes_them() -> None:
    assert render(f"<%= {'(' * 15}1{')' * 15} %>", VARIABLES, "f.yml").text == "1"


def test_tags_that_are_never_closed_are_refused_at_once() -> None:
    with pytest.raises(ConfigError, match=r"^f\.yml:2: `<%` without its `%>`"):
        render("a: 1\n" + "<%" * 300_000, {}, "f.yml")


def test_comments_print_nothing() -> None:
    assert render("a<%# anything ${ } goes %>b<% # so does this %>c", {}, "f.yml").text == "abc"


def test_a_tag_in_a_yaml_comment_is_not_looked_at() -> None:
    assert render("# was <%= Rails.env %>\na: 1\n", {}, "f.yml").text == "# was \na: 1\n"


def test_a_doubled_percent_is_a_literal_tag() -> None:
    assert render("a: '<%% b %>'", {}, "f.yml").text == "a: '<% b %>'"


def test_a_trimming_tag_takes_its_new_line_with_it() -> None:
    assert render("a: 1\n<%# note -%>\nb: 2\n", {}, "f.yml").text == "a: 1\nb: 2\n"
    assert render("a: 1\r\n<%# note -%>\r\nb: 2\r\n", {}, "f.yml").text == "a: 1\r\nb: 2\r\n"
    assert render("a: 1\n  <%- # note -%>\nb: 2\n", {}, "f.yml").text == "a: 1\nb: 2\n"


def test_an_unclosed_tag_is_refused_with_its_line() -> None:
    with pytest.raises(ConfigError, match=r"^f\.yml:2: `<%` without its `%>`"):
        render('a: 1\nb: <%= ENV["X"]\n', VARIABLES, "f.yml")


def test_lines_of_the_file_are_kept_through_trims_and_values_with_new_lines() -> None:
    rendered = render('a\n<%# gone -%>\n<%= ENV["TWO"] %>\nz\n', {"TWO": "l1\nl2"}, "f.yml")
    assert rendered.text == "a\nl1\nl2\nz\n"
    assert [rendered.line(number) for number in (1, 2, 3, 4)] == [1, 3, 3, 4]


@given(st.text())
def test_text_without_tags_stays_as_it_is_with_its_lines(text: str) -> None:
    text = text.replace("<%", "")
    rendered = render(text, {}, "f.yml")
    assert rendered.text == text
    assert rendered.lines == tuple(range(1, text.count("\n") + 2))


@given(st.text(alphabet="ENV[]\"'X.fetch(){}|&:to_i 015,", max_size=25))
def test_no_expression_raises_anything_but_a_refusal(code: str) -> None:
    with suppress(ConfigError):
        render(f"<%= {code} %>", {}, "f.yml")


def test_a_tag_without_end_is_cut_where_it_is_refused() -> None:
    why = refused_value(render(f"<%= {'(' * 20_000}1{')' * 20_000} %>", {}, "s.yml"))
    assert len(why) < 600
    assert why.startswith("s.yml:1: `<%= ((((")
    assert "((… %>` is not supported" in why
