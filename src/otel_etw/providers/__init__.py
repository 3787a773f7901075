"""Where events go: one small interface and its implementations."""
