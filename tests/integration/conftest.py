"""What integration tests share: real servers, and no process left behind."""

from tests.commands import typed
from tests.jobs import no_job_left_behind
from tests.servers import cluster_template, pg15, pg16, pg18, plain_server, server_home, server_user

__all__ = [
    "cluster_template",
    "no_job_left_behind",
    "pg15",
    "pg16",
    "pg18",
    "plain_server",
    "server_home",
    "server_user",
    "typed",
]
