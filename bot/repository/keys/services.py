"""How long a key service that fails is asked again: a start of a job waits for it, so not for minutes."""

from __future__ import annotations

from bot.repository.stores.patience import Patience

PATIENCE = Patience(for_s=45.0, quick_s=10.0, first_s=0.2, most_s=8.0)
