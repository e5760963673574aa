"""The only room that talks to Redis for jobs. Every state change of a job here is one atomic step in Redis."""
