"""What holds for all tests."""

import os

# As in cli.py: threads that wait sleep, so that tests stay quick beside other processes.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
