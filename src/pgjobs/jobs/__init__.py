"""A job as its author sees it: `@job`, options, retry policy, outcomes, context, handle. No database."""
