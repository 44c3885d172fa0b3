"""The demo: a made-up group whose times are counted back from now, so that it works on any day."""
