"""Media files: frame times, pictures and sound, on the container's one clock."""
