"""Shards: many sessions in few large files, for disks and object stores that dislike small ones.

`write_shards` makes them and an index; `talkover.manifests.shards.dataset` streams them to torch
and `talkover.manifests.shards.loader` resumes mid-epoch. Those two import torch, this module does
not; nothing here needs Lhotse.
"""

from talkover.manifests.shards.index import Entry, Index, Shard, ShardFile, read_index
from talkover.manifests.shards.reading import read_sharded
from talkover.manifests.shards.write import shard, write_shards

__all__ = [
    "Entry",
    "Index",
    "Shard",
    "ShardFile",
    "read_index",
    "read_sharded",
    "shard",
    "write_shards",
]
