"""What reaches people when Slack does not: the fallback (Apprise), and the heartbeat an outside checker listens for."""

from bot.notify.fallback import Fallback
from bot.notify.heartbeat import beat

__all__ = ["Fallback", "beat"]
