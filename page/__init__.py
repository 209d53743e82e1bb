"""Self-contained HTML pages: one file that opens offline and asks no network for anything.

The frame, its style, the embedding of data and the policy that forbids the network live here; what
a page shows is the matter of its caller. `shell.js` is what the scripts of all pages share.
"""

from .page import Asset, Page, pack_array, write_page

__all__ = ["Asset", "Page", "pack_array", "write_page"]
