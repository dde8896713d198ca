"""The format of the run store: a number in every run's folder, read before anything else.

status.json is written first, read first, and names the newest format of any file in its folder;
config.json names its own. A run is read as it is: what older formats lack is added in memory, by
the steps in `mocoop.older`, and no old file is rewritten. A run of a newer format is told so and
is neither read nor changed.

Formats:
    1. Until version 0.1. Only config.json names it. Settings that came later are missing, and
       the oldest runs lack more of them (`mocoop.older.STEPS`); records and results lack later
       measures; features lack the router of each epoch. `mocoop.runs.schema` says what may be
       missing.
    2. status.json names the format as well. config.json has every setting, as it is meant today.

A setting with a default that changes nothing needs no new format: `mocoop.presets` adds it. A
new format is needed when an older version would misread a new run.
"""

from __future__ import annotations

FORMAT = 2
"""The format that this version writes, and the newest one that it reads."""
