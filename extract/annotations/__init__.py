"""Annotations as people have them: which files are whose, what they say, brought to the frames."""
