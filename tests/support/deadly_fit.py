"""A configuration whose fit kills its own process, unless that is the process of the tests."""

import os
import signal

from vapipe.fusion import FitConfig


class DeadlyConfig(FitConfig):
    """Dies wherever VAPIPE_TEST_PARENT does not name this process."""

    def resolved(self):
        if os.environ.get("VAPIPE_TEST_PARENT") != str(os.getpid()):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().resolved()
