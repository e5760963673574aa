"""Running jobs: the exchange loop and what is around it. Only the command line, `testing` and embedding import this."""
