"""Results of queries, whose columns may be of any Arrow type: for people, and written to files."""
