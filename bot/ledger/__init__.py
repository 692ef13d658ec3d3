"""The bot's own database: runs, requests, decisions, audit, inbox, and which cards are out of date."""

from bot.ledger.database import Ledger, Tx

__all__ = ["Ledger", "Tx"]
