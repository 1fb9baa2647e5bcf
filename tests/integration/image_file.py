"""Images of functions, made from files, as anybody's tools make them."""

import io
import pathlib
import subprocess
import tarfile


def make_layout(directory: pathlib.Path, files: dict[str, str], *config: str) -> pathlib.Path:
    """An OCI layout whose image has these files; `config`: options of `umoci config`."""
    layout, layer = directory / "layout", directory / "layer.tar"
    with tarfile.open(layer, "w") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(text.encode()), 0o644
            archive.addfile(info, io.BytesIO(text.encode()))
    image = f"{layout}:v1"
    for command in (["init", "--layout", layout], ["new", "--image", image],
                    ["raw", "add-layer", "--image", image, layer], ["config", "--image", image, *config]):
        subprocess.run(["umoci", *map(str, command)], check=True, capture_output=True)
    return layout
