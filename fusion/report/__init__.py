"""Pages about runs: what they learned, how well, where they fail; one run or several compared.

Gathering (`records`, `truth`, `measures`), packing (`series`, `write`), and the page's own HTML,
style and scripts. The frame of the page is `vapipe.page`.
"""

from .write import Written, write_report

__all__ = ["Written", "write_report"]
