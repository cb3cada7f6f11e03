"""Conversations on a terminal or through a pipe: a person plays the agent or the customer, or nobody does."""

from tau_retail_env.cli.conversation.opponent import opponent
from tau_retail_env.cli.conversation.play import play, play_user, watch
from tau_retail_env.cli.conversation.recorded import Wanted, list_recorded, show_recorded

__all__ = ["Wanted", "list_recorded", "opponent", "play", "play_user", "show_recorded", "watch"]
