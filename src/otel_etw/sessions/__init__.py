"""What collects events: sessions, and the files they write."""
