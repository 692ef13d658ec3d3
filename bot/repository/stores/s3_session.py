"""The session of botocore, which boto3's is made of, without what nobody here asks it for: all other services."""

from __future__ import annotations

import functools
from datetime import datetime
from typing import Any

import botocore.session
from botocore.loaders import Loader, create_loader, instance_cache
from botocore.utils import parse_timestamp

_NEEDED = {"s3", "s3-control", "sts", "sso", "portal.sso", "oidc", "signin"}
"""The endpoints of storage, and of where credentials come from."""
_SERVICES = ["s3", "signin", "sso", "sso-oidc", "sts"]
"""The same, as their descriptions are called."""


@functools.cache
def session() -> Any:
    """Return the process's session: it holds the parsed description of S3, which takes longer than all else, and is not
    to be used by two threads at once."""
    core = botocore.session.get_session()
    core.register_component("data_loader", _Lean(core.get_config_variable("data_path")))
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_timestamp)
    return core


class _Lean(Loader):  # type: ignore[misc]  # botocore has no types
    """Loads what botocore loads, and keeps of the endpoints what is used: the rest takes 5 MiB while the process lives."""

    def __init__(self, data_path: str | None) -> None:
        self._given = data_path
        super().__init__(extra_search_paths=create_loader(data_path).search_paths)

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002  each of them has every type
        """Return the services this session is for: to look which of all are there takes six thousand looks at files."""
        return _SERVICES

    @instance_cache  # type: ignore[untyped-decorator]
    def load_data_with_path(self, name: str) -> tuple[Any, str]:
        """Return a file's content and where it lies. Of services that are left out, botocore makes up the usual endpoint."""
        found, path = create_loader(self._given).load_data_with_path(name)
        if name == "endpoints":
            for partition in found.get("partitions", ()):
                services = partition.get("services", {})
                partition["services"] = {one: services[one] for one in _NEEDED & set(services)}
        return found, path


def _timestamp(value: Any) -> datetime:
    """Read a time as listings write it; botocore's own reader, for all else, takes most of the time of a long listing."""
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        other: datetime = parse_timestamp(value)
        return other
