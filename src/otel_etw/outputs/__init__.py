"""Items and facts of traces, made into text for people and for programs."""
