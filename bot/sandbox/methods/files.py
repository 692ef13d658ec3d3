"""`files.*`: announce, send, share."""

from __future__ import annotations

import secrets
from typing import Any

from bot.sandbox import posting
from bot.sandbox.methods.call import Call, Method
from bot.sandbox.refusals import SlackError
from bot.sandbox.state import State, Upload
from bot.sandbox.values import Json

LARGEST_BYTES = 20 * 1024 * 1024
_PICTURES = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp"}


def extension(name: str) -> str:
    """Return the lower-case ending of a file's name, without the dot."""
    return name.rsplit(".", 1)[-1].lower() if "." in name else ""


def content_type(name: str) -> str:
    """Return the type a file is served with: pictures as such, anything else as bytes to save."""
    return _PICTURES.get(extension(name), "application/octet-stream")


def file_as_slack(state: State, upload: Upload) -> Json:
    """Return a file object."""
    address = f"{state.base_url}/files/{upload.id}/{upload.secret}"
    return {
        "id": upload.id,
        "name": upload.name,
        "title": upload.title or upload.name,
        "mimetype": content_type(upload.name),
        "filetype": extension(upload.name),
        "size": len(upload.content or b""),
        "url_private": address,
        "url_private_download": address,
        "permalink": address,
    }


def get_upload_url(call: Call) -> Json:
    """Announce a file and return where to send it."""
    name, length = call.required("filename"), call.required("length")
    if not length.isdigit() or not 0 < int(length) <= LARGEST_BYTES:
        raise SlackError("invalid_arguments")
    upload = Upload(f"F{len(call.state.uploads) + 1:08d}", name, int(length), secrets.token_urlsafe(24))
    call.state.uploads[upload.id] = upload
    return {"upload_url": f"{call.state.base_url}/upload/{upload.id}/{upload.secret}", "file_id": upload.id}


def complete_upload(call: Call) -> Json:
    """Share sent files, in a channel or thread when one is named."""
    uploads = [_sent(call, each) for each in call.structure("files") or ()]
    if not uploads:
        raise SlackError("invalid_arguments")
    for upload in uploads:
        upload.shared = True
    files = [file_as_slack(call.state, upload) for upload in uploads]
    if call.text("channel_id"):
        _share(call, files)
    return {"files": files}


def _sent(call: Call, named: Any) -> Upload:
    upload = call.state.uploads.get(named.get("id", "")) if isinstance(named, dict) else None
    if upload is None or upload.content is None or upload.shared:
        raise SlackError("file_not_found")
    upload.title = named.get("title") or upload.name
    return upload


def _share(call: Call, files: list[Json]) -> None:
    channel = call.conversation("channel_id")
    if call.workspace.app.bot_user not in channel.members:
        raise SlackError("not_in_channel")
    comment = {"text": call.text("initial_comment"), "blocks": call.structure("blocks"), "files": files}
    posting.post(call.state, channel, posting.content_of(comment), call.now, thread_ts=call.text("thread_ts") or None)


METHODS = {
    "files.getUploadURLExternal": Method(get_upload_url, ("files:write",)),
    "files.completeUploadExternal": Method(complete_upload, ("files:write",)),
}
