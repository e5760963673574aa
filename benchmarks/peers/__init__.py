"""pykiq and Sidekiq beside Python's other job systems."""
