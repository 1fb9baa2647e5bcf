"""Images of functions, made from files, as anybody's tools make them."""

import io
import pathlib
import subprocess
import tarfile
import tempfile

from node import BUILD


def make_layout(directory: pathlib.Path, files: dict[str, str], *config: str) -> pathlib.Path:
    """An OCI layout whose image has these files; `config`: options of `umoci config`."""
    layer = directory / "layer.tar"
    write_layer(layer, files)
    return layout_of(directory / "layout", [layer], *config)


def write_layer(path: pathlib.Path, files: dict[str, str], links: dict[str, str] | None = None) -> None:
    with tarfile.open(path, "w") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(text.encode()), 0o644
            archive.addfile(info, io.BytesIO(text.encode()))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)


def layout_of(layout: pathlib.Path, layers: list[pathlib.Path], *config: str) -> pathlib.Path:
    """The same of tar files, lowest first."""
    image = f"{layout}:v1"
    added = [["raw", "add-layer", "--image", image, layer] for layer in layers]
    for command in (["init", "--layout", layout], ["new", "--image", image], *added,
                    ["config", "--image", image, *config]):
        subprocess.run(["umoci", *map(str, command)], check=True, capture_output=True)
    return layout


def import_layout(store: pathlib.Path | str, layout: pathlib.Path, name: str) -> None:
    subprocess.run([BUILD / "usetl", "image", "import", "--store", store, layout, "--name", name], check=True,
                   capture_output=True)


def add_image(store: pathlib.Path | str, name: str, files: dict[str, str], *config: str) -> None:
    """Into an image store, under this name."""
    with tempfile.TemporaryDirectory(prefix="usetl-image-") as made:
        import_layout(store, make_layout(pathlib.Path(made), files, *config), name)
