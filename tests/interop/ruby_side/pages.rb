# Sidekiq's Web UI without a browser: the Rack application is called as a web server would call it.
require "sidekiq/web"
require "rack"
begin
  require "rack/mock_request"
rescue LoadError
  require "rack/mock"
end

BROWSER_SESSION = {}

def page(method, path, form = {})
  form = form.merge("authenticity_token" => token) if method == "POST"
  env = Rack::MockRequest.env_for("http://localhost#{path}", method: method, params: form)
  env["rack.session"] = BROWSER_SESSION
  env["HTTP_SEC_FETCH_SITE"] = "same-origin" # what 8.1 asks for instead of the token
  status, headers, body = Sidekiq::Web.call(env)
  text = +""
  body.each { |part| text << part }
  body.close if body.respond_to?(:close)
  {status: status, location: headers["location"] || headers["Location"], body: text.force_encoding("UTF-8")}
end

# 6.4 and 7.3 put a fresh token into every form.
def token
  page("GET", "/busy")[:body][/name=["']authenticity_token["'] value=["']([^"']+)/, 1].to_s
end

# The name of a sorted set's entry in the addresses of its pages.
def page_key(set, jid)
  found = entry(set, jid) or raise "no #{jid} in #{set}"
  "#{found.score}-#{jid}"
end
