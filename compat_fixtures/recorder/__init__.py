"""Records compat_fixtures/ again from whichever real Sidekiqs are installed."""
