"""What integration tests share: real servers."""

from tests.commands import typed
from tests.servers import cluster_template, pg15, pg16, pg18, plain_server, server_home, server_user

__all__ = ["cluster_template", "pg15", "pg16", "pg18", "plain_server", "server_home", "server_user", "typed"]
