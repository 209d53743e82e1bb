"""Small widths for streams and heads, for tests that go through every head."""

DIMS = {"video": 6, "audio": 4, "audio2": 5, "text": 3}

# Every head, or variant, is tested with its defaults where nothing is said here; these are small or
# say more.
OPTIONS = {
    "dca": [{"joint_width": 6}, {"joint_width": 6, "lstm": True}],
    "jca-official": [{"joint_width": 6}],
    "jca-paper": [{"width": 4, "k": 3}],
    "transformer": [
        {"width": 10},
        {"width": 6, "temporal": "tcn", "layers": 1},
        {"width": 6, "temporal": "lstm", "layers": 1},
        {"width": 6, "preset": "situ-rucaim3"},
    ],
}


def options_of(name, variant):
    return OPTIONS.get(f"{name}-{variant}", OPTIONS.get(name, [{}]))
