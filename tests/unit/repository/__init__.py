"""The repository, bottom up: envelope, codec, keys, tar, writer, catalogue, WAL, restore, damage, crashes."""
