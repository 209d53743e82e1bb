"""Pictures of what vapipe knows: pages about runs and caches, contact sheets, overlays.

The page about runs gathers (`records`, `truth`, `measures`) and packs (`series`, `run_report`);
that about a cache is `cache_report` with `contact_sheets`. Both stand in the frame of `page`.
"""
