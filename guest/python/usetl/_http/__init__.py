"""Functions that answer HTTP requests: each convention of the world is one module here."""
