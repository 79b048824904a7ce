"""pisolve."""
