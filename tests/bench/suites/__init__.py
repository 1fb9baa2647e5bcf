"""One suite per file; run(options) gives its rows."""
