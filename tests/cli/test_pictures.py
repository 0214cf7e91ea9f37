"""retinaface detect on pictures of every format, by its libraries: real files from other encoders, damaged ones, large ones."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any, Callable, Dict, List

import numpy as np
import pytest
from conftest import ASTRONAUT, ROOT, SHARED, TRIMMED, is_one_line, run
from PIL import Image, features

FACE = [177, 57, 270, 176]  # of ASTRONAUT, by the weights that come with the tool


def find(*arguments: Any, code: int = 0) -> Dict[str, Any]:
    """The line of one picture, by the weights that come with the tool."""
    done = run("detect", "--json", "-", *arguments)
    assert done.returncode == code, done.stderr.decode()
    (line,) = [json.loads(text) for text in done.stdout.decode().splitlines()]
    if "built without" in line.get("error", ""):
        pytest.skip(line["error"])
    line["stderr"] = done.stderr.decode()
    return line


def find_or_skip(path: Path, *arguments: Any) -> Dict[str, Any]:
    """As find(), where this build may lack the format's library."""
    done = run("detect", "--json", "-", *arguments, path)
    line = json.loads(done.stdout.decode())
    if "built without" in line.get("error", "") or "has no decoder" in line.get("error", ""):
        pytest.skip(line["error"])
    assert done.returncode == 0, line
    line["stderr"] = done.stderr.decode()
    return line


def overlap(box: List[float], other: List[float]) -> float:
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    area = [(b[2] - b[0]) * (b[3] - b[1]) for b in (box, other)]
    return shared / (sum(area) - shared)


def check_face(line: Dict[str, Any], face: List[float] = FACE) -> None:
    (found,) = line["faces"]
    assert overlap(found["box"], face) > 0.75, (found, face)


@pytest.fixture(scope="module")
def portrait() -> Image.Image:
    return Image.open(ASTRONAUT).convert("RGB")


def jpeg_segments(data: bytes) -> List[bytes]:
    """SOI, the marker segments, and from the first SOS on everything."""
    segments, at = [data[:2]], 2
    while data[at + 1] != 0xDA:
        size = 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
        segments.append(data[at : at + size])
        at += size
    return [*segments, data[at:]]


def png_with(data: bytes, kind: bytes, body: bytes) -> bytes:
    """A PNG with one more chunk behind its header."""
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return data[:33] + chunk + data[33:]


def exif(orientation: int, kind: int = 3, big: bool = True) -> bytes:
    order = ">" if big else "<"
    value = struct.pack(order + "HH", orientation, 0) if kind == 3 else struct.pack(order + "I", orientation)
    return (b"MM" if big else b"II") + struct.pack(order + "HIHHHI", 42, 8, 1, 0x0112, kind, 1) + value + bytes(4)


# Formats


ENCODERS: Dict[str, Dict[str, Any]] = {
    "jpg": {"quality": 90},
    "progressive.jpg": {"quality": 90, "progressive": True},
    "png": {},
    "webp": {"quality": 90},
    "lossless.webp": {"lossless": True, "quality": 0, "method": 0},
    "gif": {},
    "tif": {},
    "lzw.tif": {"compression": "tiff_lzw"},
    "bmp": {},
    "ppm": {},
}


def skip_unless_written(name: str) -> None:
    """Debian's Pillow writes all of them; a wheel of another system may not."""
    if name.endswith("webp") and not features.check("webp"):
        pytest.skip("this Pillow writes no WebP")


@pytest.mark.parametrize("name", ENCODERS)
def test_every_format(tmp_path: Path, portrait: Image.Image, name: str) -> None:
    skip_unless_written(name)
    path = tmp_path / f"portrait.{name}"
    portrait.save(path, **ENCODERS[name])
    line = find_or_skip(path)
    assert (line["width"], line["height"]) == (512, 512)
    check_face(line)
    assert line["stderr"] == ""
    # Half of it is an error, never half a picture.
    half = tmp_path / f"half.{name}"
    half.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    done = run("detect", "--json", "-", half)
    assert done.returncode == 1, done.stdout
    assert is_one_line(done.stderr.decode())


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_png_modes(tmp_path: Path, portrait: Image.Image, mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.asarray(portrait.convert("L")).astype(np.uint16) * 257)
    else:
        image = portrait.convert("L").convert("LA") if mode == "LA" else portrait.convert(mode)
    image.save(tmp_path / "image.png")
    check_face(find_or_skip(tmp_path / "image.png"))


@pytest.mark.parametrize("kind", ["png", "tif", "webp"])
def test_colours_are_those_stored_beside_alpha(tmp_path: Path, portrait: Image.Image, kind: str) -> None:
    skip_unless_written(kind)
    image = portrait.copy()
    image.putalpha(Image.linear_gradient("L").resize(image.size).point(lambda v: max(1, v)))
    image.save(tmp_path / f"image.{kind}", **({"lossless": True} if kind == "webp" else {}))
    check_face(find_or_skip(tmp_path / f"image.{kind}", "--draw", tmp_path / "drawn"))
    drawn = np.asarray(Image.open(tmp_path / "drawn" / "image.png").convert("RGB"))[300:].astype(int)
    assert np.abs(drawn - np.asarray(portrait)[300:]).mean() < 1


def test_cmyk_without_marker(tmp_path: Path, portrait: Image.Image) -> None:
    """Inks come inverted with Photoshop's marker, and, as most readers have it, without."""
    inverted = Image.fromarray(255 - np.asarray(portrait.convert("CMYK")), "CMYK")
    portrait.convert("CMYK").save(tmp_path / "adobe.jpg", quality=95)
    inverted.save(tmp_path / "inverted.jpg", quality=95)
    data = (tmp_path / "adobe.jpg").read_bytes()
    assert any(segment[:2] == b"\xff\xee" for segment in jpeg_segments(data))
    bare = b"".join(segment for segment in jpeg_segments(data) if segment[:2] != b"\xff\xee")
    (tmp_path / "bare.jpg").write_bytes(bare)
    for name in ("adobe", "bare"):
        check_face(find_or_skip(tmp_path / f"{name}.jpg", "--draw", tmp_path / "drawn"))
        drawn = np.asarray(Image.open(tmp_path / "drawn" / f"{name}.png").convert("RGB"))[300:].astype(int)
        assert np.abs(drawn - np.asarray(portrait)[300:]).mean() < 4


def test_png_without_its_end(tmp_path: Path, portrait: Image.Image) -> None:
    portrait.save(tmp_path / "whole.png")
    data = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(data[:-12])
    line = json.loads(run("detect", "--json", "-", tmp_path / "cut.png").stdout.decode())
    if "error" in line:  # stb_image's readers
        assert "truncated" not in line["error"]
        pytest.skip(line["error"])
    check_face(line)
    assert "truncated after its last pixel" in line["warning"]


# What cameras write


def camera_files(data: bytes) -> Dict[str, bytes]:
    segments = jpeg_segments(data)
    without_tables = b"".join(segment for segment in segments if segment[:2] != b"\xff\xc4")
    return {
        "restart_marker_before_end": data[:-2] + b"\xff\xd1" + data[-2:],
        "stuffing_before_end": data[:-2] + b"\xff\x00" * 20 + data[-2:],
        "bytes_behind_end": data + b"\xff\x00 more" * 10,
        "motion_jpeg": without_tables,
        "fill_bytes": data[:2] + b"\xff" * 9 + data[2:],
        "without_end": data[:-2],
    }


@pytest.mark.parametrize("kind", list(camera_files(b"\xff\xd8\xff\xda__")))
def test_camera_files(tmp_path: Path, portrait: Image.Image, kind: str) -> None:
    portrait.save(tmp_path / "whole.jpg", quality=90)
    expected = find_or_skip(tmp_path / "whole.jpg")["faces"]
    (tmp_path / "camera.jpg").write_bytes(camera_files((tmp_path / "whole.jpg").read_bytes())[kind])
    line = find_or_skip(tmp_path / "camera.jpg")
    assert line["faces"] == expected
    assert ("warning" in line) == bool(line["stderr"])
    if kind == "without_end":
        assert "end marker" in line["warning"] and is_one_line(line["stderr"])


# Orientation


def orientation_files(portrait: Image.Image, directory: Path) -> Dict[str, bytes]:
    stored = portrait.transpose(Image.ROTATE_90)
    for suffix in ("png", "jpg"):
        stored.save(directory / f"stored.{suffix}")
    png, jpg = ((directory / f"stored.{suffix}").read_bytes() for suffix in ("png", "jpg"))
    profile = b"\nexif\n%8d\n" % (6 + len(exif(6))) + (b"Exif\0\0" + exif(6)).hex().encode() + b"\n"
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    segment = lambda body: b"\xff\xe1" + struct.pack(">H", 2 + len(body)) + body  # noqa: E731
    files = {
        "exif.png": png_with(png, b"eXIf", exif(6)),
        "raw_profile.png": png_with(png, b"tEXt", b"Raw profile type exif\0" + profile),
        "compressed_raw_profile.png": png_with(png, b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile)),
        "xmp.png": png_with(png, b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp),
        "compressed_xmp.png": png_with(png, b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp)),
        "xmp.jpg": jpg[:2] + segment(b"http://ns.adobe.com/xap/1.0/\0" + xmp) + jpg[2:],
        "element_xmp.jpg": jpg[:2]
        + segment(b"http://ns.adobe.com/xap/1.0/\0<tiff:Orientation>6</tiff:Orientation>")
        + jpg[2:],
    }
    for kind in (3, 4):
        for big in (False, True):
            files[f"type_{kind}_{'big' if big else 'little'}.jpg"] = jpg[:2] + segment(b"Exif\0\0" + exif(6, kind, big)) + jpg[2:]
    stored.save(directory / "stored.tif", tiffinfo={274: 6})
    files["tag.tif"] = (directory / "stored.tif").read_bytes()
    if features.check("webp"):
        stored.save(directory / "stored.webp", quality=90, exif=b"Exif\0\0" + exif(6))
        files["exif.webp"] = (directory / "stored.webp").read_bytes()
    return files


def test_orientation(tmp_path: Path, portrait: Image.Image) -> None:
    for name, data in orientation_files(portrait, tmp_path).items():
        (tmp_path / name).write_bytes(data)
        done = run("detect", "--json", "-", tmp_path / name)
        line = json.loads(done.stdout.decode())
        if "built without" in line.get("error", ""):
            continue
        assert "faces" in line, (name, line)
        check_face(line)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_rotation(tmp_path: Path, portrait: Image.Image, degrees: int) -> None:
    portrait.crop((0, 0, 512, 400)).rotate(degrees, expand=True).save(tmp_path / "turned.ppm")  # PIL turns the other way
    line = find("--rotation", degrees, tmp_path / "turned.ppm")
    assert (line["width"], line["height"]) == (512, 400)
    check_face(line)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_rotation_found(tmp_path: Path, portrait: Image.Image, degrees: int) -> None:
    portrait.crop((0, 0, 512, 400)).rotate(degrees, expand=True).save(tmp_path / "turned.ppm")
    line = find("--rotation", "auto", "--draw", tmp_path / "drawn", tmp_path / "turned.ppm")
    assert (line["width"], line["height"], line.get("rotation", 0)) == (512, 400, degrees)
    check_face(line)
    drawn = np.asarray(Image.open(tmp_path / "drawn" / "turned.png").convert("RGB")).astype(int)
    assert np.abs(drawn[200:] - np.asarray(portrait)[200:400]).mean() < 1


def test_clip(tmp_path: Path, portrait: Image.Image) -> None:
    portrait.crop((210, 20, 512, 322)).save(tmp_path / "cut.ppm")  # through the face
    free, clipped = (find(*arguments, "--score", "0.3", tmp_path / "cut.ppm")["faces"] for arguments in ([], ["--clip"]))
    assert len(free) == len(clipped) >= 1
    assert min(face["box"][0] for face in free) < 0
    for one, other in zip(free, clipped):
        assert other["box"] == [min(max(v, 0), 302) for v in one["box"]]
        assert other["landmarks"] == one["landmarks"]


# Large pictures


def test_larger_than_the_library_takes(tmp_path: Path, portrait: Image.Image) -> None:
    """70 megapixels: an error without --max-side, found with it; coordinates are the file's pixels."""
    if TRIMMED:
        pytest.skip("too slow here")
    factor = 16.5
    large = portrait.resize((8448, 8448), Image.NEAREST)
    large.save(tmp_path / "large.jpg", quality=60)
    large.save(tmp_path / "large.ppm")
    del large
    for name in ("large.jpg", "large.ppm"):
        done = run("detect", "--json", "-", tmp_path / name)
        line = json.loads(done.stdout.decode())
        if "built without" in line["error"]:
            continue
        assert "too large" in line["error"] and "--max-side" in line["error"]
        for arguments in (["--max-side", 640], ["--min-face", 600], ["--max-side", 640, "--draw", tmp_path / "drawn"]):
            line = find(*arguments, tmp_path / name)
            assert (line["width"], line["height"]) == (8448, 8448)
            check_face(line, [factor * v for v in FACE])
        done = run("align", "--max-side", 640, "--out", tmp_path / "crops", "--json", "-", tmp_path / name)
        (face,) = json.loads(done.stdout.decode())["faces"]
        matrix, points = np.array(face["to_crop"]), np.array(face["landmarks"])
        placed = points @ matrix[:, :2].T + matrix[:, 2]
        # The five points land where ArcFace's template has them.
        assert np.abs(placed - [[38.3, 51.7], [73.5, 51.5], [56.0, 71.7], [41.5, 92.4], [70.7, 92.2]]).max() < 8


def test_reduced_while_decoding(tmp_path: Path, portrait: Image.Image) -> None:
    """A quarter of a JPEG, decoded so, has the faces of the whole."""
    portrait.resize((2049, 2047), Image.BICUBIC).save(tmp_path / "large.jpg", quality=90)
    portrait.resize((2049, 2047), Image.BICUBIC).save(tmp_path / "large.ppm")
    for arguments in (["--max-side", 512], ["--min-face", 100], ["--size", "512x512"], ["--shortest-side", 500], ["--max-side", 300, "--scales", "1,2"]):
        reduced = find_or_skip(tmp_path / "large.jpg", *arguments)
        whole = find(*arguments, tmp_path / "large.ppm")
        assert (reduced["width"], reduced["height"]) == (2049, 2047)
        assert len(reduced["faces"]) == len(whole["faces"]) >= 1, arguments
        assert np.abs(np.subtract(reduced["faces"][0]["box"], whole["faces"][0]["box"])).max() < 12, arguments


def test_limits(tmp_path: Path, portrait: Image.Image) -> None:
    portrait.save(tmp_path / "a.png")
    portrait.save(tmp_path / "a.jpg", progressive=True, quality=90)
    portrait.save(tmp_path / "a.ppm")
    for name in ("a.png", "a.jpg", "a.ppm"):
        for arguments in (["--max-pixels", 512 * 511], ["--max-memory", "100KB"]):
            line = find(*arguments, tmp_path / name, code=1)
            assert arguments[0] in line["error"]
        find_or_skip(tmp_path / name, "--max-pixels", 512 * 512, "--max-memory", "8MB")
    line = find("--max-scans", 3, tmp_path / "a.jpg", code=1)
    assert "--max-scans" in line["error"]
    assert run("detect", "--max-pixels", 0, tmp_path / "a.ppm").returncode == 2


def test_bombs(tmp_path: Path) -> None:
    """Little files that ask for much: refused at once, or read in the memory of their picture."""
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    def png(width: int, height: int, data: bytes, *more: bytes) -> bytes:
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + chunk(b"IDAT", data) + chunk(b"IEND", b"")

    zeros = zlib.compress(bytes(20_000_000), 9)
    files = {
        "too_much_data.png": png(1, 1, zeros),  # inflates to 20 MB for one pixel
        "profile.png": png(1, 1, zlib.compress(bytes(2)), chunk(b"iCCP", b"x\0\0" + zeros)),
        "text.png": png(1, 1, zlib.compress(bytes(2)), chunk(b"zTXt", b"Raw profile type exif\0\0" + zeros)),
    }
    Image.new("L", (2048, 2048)).save(tmp_path / "base.jpg", progressive=True)
    segments = jpeg_segments((tmp_path / "base.jpg").read_bytes())
    scan = segments[-1][:-2]
    files["scans.jpg"] = b"".join(segments[:-1]) + scan * 100 + b"\xff\xd9"
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        done = run("detect", "--json", "-", "--max-memory", "16MB", tmp_path / name)
        line = json.loads(done.stdout.decode())
        assert "faces" in line or is_one_line(line["error"])
        if name == "scans.jpg" and "built without" not in line["error"]:
            assert "scans" in line["error"]


# Names


def test_a_name_that_lies(tmp_path: Path, portrait: Image.Image) -> None:
    portrait.save(tmp_path / "a.ppm")
    (tmp_path / "a.ppm").rename(tmp_path / "a.jpg")
    check_face(find(tmp_path / "a.jpg"))
    (tmp_path / "b.jpg").write_bytes(b"P6 512 512 255\n")
    assert "PNM data in a .jpg" in find(tmp_path / "b.jpg", code=1)["error"]
    (tmp_path / "c.jpg").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    assert "Git LFS pointer data in a .jpg" in find(tmp_path / "c.jpg", code=1)["error"]


# The pictures that once failed


FAULTS = SHARED / "faults" / "pictures"
NASA = [173, 61, 277, 168]
RIGHT: Dict[str, Callable[[Dict[str, Any]], None]] = {
    **{
        name: lambda line: check_face(line, NASA)
        for name in (
            "b_32_topdown.bmp", "b_rle8.bmp", "n_p5_12bit.pgm", "n_p6_max100.ppm", "rst_before_eoi.jpg", "j_junk_ff00.jpg",
            "j_junk_ffd1.jpg", "mjpeg_nodht.jpg", "webp_named.jpg", "p_rawprofile6.png", "p_xmp6.png", "e_long6.jpg",
            "j_cmyk_noadobe.jpg",
        )
    },
    "rot090.png": lambda line: check_face(line, NASA),
    "p_cgbi.png": lambda line: check_error(line, "CgBI"),
    "j_arith.jpg": lambda line: check_error(line, "arithmetic coding"),
    "stb_dht_overflow.jpg": lambda line: check_error(line, "Huffman"),
    "stb_undefined_huffman.jpg": lambda line: check_error(line, "Huffman"),
    "newline_in_chunk_type.png": lambda line: check_error(line, "PNG data"),
    "bomb_scans_20.jpg": lambda line: check_error(line, "--max-scans"),
}  # fmt: skip


def check_error(line: Dict[str, Any], part: str) -> None:
    assert part in line["error"], line
    assert is_one_line(line["error"])


@pytest.mark.skipif(not FAULTS.is_dir(), reason="the reference pictures are not there")
@pytest.mark.parametrize("name", RIGHT)
def test_faults(name: str) -> None:
    arguments = {"rot090.png": ["--rotation", "auto"]}.get(name, [])
    line = json.loads(run("detect", "--json", "-", *arguments, FAULTS / name).stdout.decode())
    if "built without" in line.get("error", ""):
        pytest.skip(line["error"])
    RIGHT[name](line)


@pytest.mark.skipif(not FAULTS.is_dir(), reason="the reference pictures are not there")
def test_a_crasher_between_good_pictures(tmp_path: Path, portrait: Image.Image) -> None:
    portrait.save(tmp_path / "a.ppm")
    done = run("detect", "--json", "-", tmp_path / "a.ppm", FAULTS / "stb_dht_overflow.jpg", tmp_path / "a.ppm")
    lines = [json.loads(text) for text in done.stdout.decode().splitlines()]
    assert done.returncode == 1 and is_one_line(done.stderr.decode())
    check_face(lines[0])
    assert "error" in lines[1]
    check_face(lines[2])


def test_committed_files() -> None:
    """Encodings that Pillow does not write."""
    for name in ("arithmetic.jpg", "portrait.heic", "portrait.avif"):
        done = run("detect", "--json", "-", "--score", "0.4", ROOT / "tests" / "data" / "pictures" / name)
        line = json.loads(done.stdout.decode())
        if "built without" in line.get("error", "") or "has no decoder" in line.get("error", ""):
            continue
        check_face(line, [38, 27, 90, 87])
