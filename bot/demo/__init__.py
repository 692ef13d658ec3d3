"""The sample shop and the story: what `pitstop demo` starts."""
