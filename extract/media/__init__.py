"""Media files: frame times, pictures and sound, on the container's one clock."""

RATE = 16000  # hertz, of all sound that encoders hear
SILENT = 1e-4  # full scale 1; sound that stays below is silence
