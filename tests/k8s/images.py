# SPDX-License-Identifier: Apache-2.0
"""Container images as tar archives, made without a daemon: one layer, a config, a manifest (what `docker save` writes). Needs only
programs that run on their own, since nothing else is in them."""

import hashlib
import io
import json
import tarfile


def _layer(files):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for directory in ("tmp", "etc"):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if directory == "tmp" else 0o755
            tar.addfile(entry)
        for name, (source, mode) in files.items():
            content = source if isinstance(source, bytes) else source.read_bytes()
            entry = tarfile.TarInfo(name.lstrip("/"))
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def write(to, name, files, entrypoint, user="65532:65532"):
    """Writes image `name` to the path `to`. `files`: {path: (path of the source or its bytes, mode)}."""
    layer = _layer(files)
    config = json.dumps({
        "architecture": "amd64", "os": "linux",
        "config": {"Entrypoint": entrypoint, "User": user, "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"]},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
    }).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(to, "w") as tar:
        for path, content in (("config.json", config), ("layer.tar", layer), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
