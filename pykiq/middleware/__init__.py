"""Code around every push and around every execution."""
