"""What each gateway sends by itself: variants of ``runner.webhook``."""
