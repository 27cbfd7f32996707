"""Has past events processed again."""
