from __future__ import annotations

import sys
from pathlib import Path

import hypothesis

sys.path.insert(0, str(Path(__file__).parent))

hypothesis.settings.register_profile("ingestion", deadline=None, max_examples=30, database=None)
hypothesis.settings.load_profile("ingestion")
