"""Whether a verdict still holds: what was valid when it was judged may have run out since."""

from __future__ import annotations

from mainspring.components.common.terms import Confirmed as Confirmed
from mainspring.components.common.terms import Term as Term
from mainspring.components.common.terms import as_text as as_text
from mainspring.components.common.terms import confirm_verdict as confirm_verdict
