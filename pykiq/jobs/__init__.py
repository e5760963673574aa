"""What users write: handlers, their options, and what a running job may ask about itself."""
