"""The page of the sandbox: plain HTML, CSS and JavaScript modules."""
