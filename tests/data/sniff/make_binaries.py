#!/usr/bin/env python3
"""Makes the binary files of the corpus; the text files beside them were written by hand.

    pip install pillow fpdf2 python-docx openpyxl python-pptx odfpy py7zr soundfile imageio-ffmpeg fonttools brotli h5py pycdlib
    python make_binaries.py

Needs a C compiler, a JDK and OpenSSL too. Encoders differ from version to version, so the files are committed; run
reference.py after making them anew.
"""

import bz2
import gzip
import io
import lzma
import pickle
import plistlib
import random
import shutil
import sqlite3
import struct
import subprocess
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path

import docx
import fpdf
import h5py
import imageio_ffmpeg
import numpy
import openpyxl
import pptx
import py7zr
import pycdlib
import soundfile
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont
from odf.opendocument import OpenDocumentText
from odf.text import P
from PIL import Image, ImageDraw

FILES = Path(__file__).parent / "files"
PROSE = (FILES / "haiku.txt").read_bytes()
RANDOM = random.Random(4711)


def write(name: str, data: bytes) -> None:
    (FILES / name).write_bytes(data)


def images() -> None:
    picture = Image.new("RGB", (96, 64), "lightblue")
    draw = ImageDraw.Draw(picture)
    draw.ellipse((10, 10, 50, 50), fill="crimson", outline="black")
    draw.line((0, 63, 95, 0), fill="green", width=3)
    for suffix in ["png", "jpg", "bmp", "gif", "webp", "tiff", "tga", "ppm", "jp2"]:
        picture.save(FILES / f"picture.{suffix}")
    picture.resize((32, 32)).save(FILES / "picture.ico")
    # Pillow would write every size up to 1024.
    image = io.BytesIO()
    picture.resize((128, 128)).save(image, "png")
    body = b"ic07" + struct.pack(">I", 8 + len(image.getvalue())) + image.getvalue()
    write("picture.icns", b"icns" + struct.pack(">I", 8 + len(body)) + body)


def archives() -> None:
    write("prose.gz", gzip.compress(PROSE * 3, mtime=0))
    write("prose.bz2", bz2.compress(PROSE * 3))
    write("prose.xz", lzma.compress(PROSE * 3))
    write("prose.zlib", zlib.compress(PROSE * 3))
    with tarfile.open(FILES / "sources.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        for name in ["stack.c", "Makefile", "haiku.txt"]:
            entry = tarfile.TarInfo(f"example/{name}")
            data = (FILES / name).read_bytes()
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    with zipfile.ZipFile(FILES / "sources.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ["stack.c", "Makefile", "haiku.txt"]:
            archive.writestr(zipfile.ZipInfo(f"example/{name}"), (FILES / name).read_bytes(), zipfile.ZIP_DEFLATED)
    with py7zr.SevenZipFile(FILES / "sources.7z", "w") as archive:
        archive.writestr(PROSE * 3, "prose.txt")
    with zipfile.ZipFile(FILES / "book.epub", "w") as archive:
        archive.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        archive.writestr("META-INF/container.xml", (
            '<?xml version="1.0"?><container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
            '<rootfiles><rootfile full-path="OEBPS/content.opf" media-type="application/oebps-package+xml"/></rootfiles>'
            "</container>"), zipfile.ZIP_DEFLATED)
        archive.writestr("OEBPS/content.opf", '<package xmlns="http://www.idpf.org/2007/opf" version="2.0"/>')
        archive.writestr("OEBPS/chapter1.xhtml", "<html xmlns='http://www.w3.org/1999/xhtml'><body><p>One.</p></body></html>")
    iso = pycdlib.PyCdlib()
    iso.new(vol_ident="EXAMPLE")
    iso.add_fp(io.BytesIO(PROSE), len(PROSE), "/HAIKU.TXT;1")
    iso.write(str(FILES / "disc.iso"))
    iso.close()


def documents() -> None:
    pdf = fpdf.FPDF()
    pdf.add_page()
    pdf.set_font("Helvetica", size=14)
    pdf.multi_cell(0, 8, PROSE.decode())
    pdf.output(str(FILES / "prose.pdf"))
    document = docx.Document()
    document.add_heading("Example", 0)
    document.add_paragraph(PROSE.decode())
    document.save(FILES / "prose.docx")
    workbook = openpyxl.Workbook()
    for row in range(1, 20):
        workbook.active.append([row, row * row, f"line {row}"])
    workbook.save(FILES / "squares.xlsx")
    slides = pptx.Presentation()
    slides.slides.add_slide(slides.slide_layouts[0]).shapes.title.text = "Example"
    slides.save(FILES / "slides.pptx")
    text = OpenDocumentText()
    text.text.addElement(P(text=PROSE.decode()))
    text.save(str(FILES / "prose.odt"))
    write("prose.rtf", (
        b"{\\rtf1\\ansi\\deff0{\\fonttbl{\\f0 Times New Roman;}}{\\colortbl;\\red255\\green0\\blue0;}\n"
        b"\\pard\\sa200\\f0\\fs24 The old pond is {\\b still}.\\par\nSomebody left a bucket\\par\n"
        b"{\\cf1 and took the frog home.}\\par\n}\n"))
    write("prose.ps", (
        b"%!PS-Adobe-3.0\n%%Title: Example\n%%Pages: 1\n%%EndComments\n/Times-Roman findfont 24 scalefont setfont\n"
        b"%%Page: 1 1\n72 700 moveto (The old pond is still.) show\nnewpath 100 100 50 0 360 arc stroke\nshowpage\n%%EOF\n"))


def sound_and_film() -> None:
    time = numpy.arange(8000) / 8000
    tone = 0.3 * numpy.sin(2 * numpy.pi * 440 * time)
    for suffix in ["wav", "flac", "ogg", "mp3"]:
        soundfile.write(FILES / f"tone.{suffix}", tone if suffix != "wav" else tone[:2000], 8000)
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    for name, options in [
        ("film.mp4", ["-c:v", "libx264"]),
        ("film.mkv", ["-c:v", "libx264"]),
        ("film.webm", ["-c:v", "libvpx-vp9"]),
        ("film.mov", ["-c:v", "libx264"]),
        ("film.flv", ["-c:v", "flv1"]),
        ("film.avi", ["-c:v", "mpeg4"]),
        ("film.swf", ["-c:v", "flv1"]),
    ]:
        source = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=5:duration=1"]
        exact = ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-pix_fmt", "yuv420p"]
        subprocess.run([ffmpeg, "-y", "-loglevel", "error", *source, *options, *exact, FILES / name], check=True)
    events = b"\x00\xc0\x00" + b"".join(
        bytes([0, 0x90, note, 64, 96, 0x80, note, 0]) for note in (60, 62, 64, 65, 67)) + b"\x00\xff\x2f\x00"
    write("scale.mid", b"MThd" + struct.pack(">IHHH", 6, 0, 1, 96) + b"MTrk" + struct.pack(">I", len(events)) + events)


def programs() -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "small.c"
        source.write_text(
            "static const char text[] = \"hello\\n\";\n"
            "void _start(void) { const char *p = text; while (*p) p++; for (;;) ; }\n")
        subprocess.run(["cc", "-Os", "-s", "-nostdlib", "-static", "-o", FILES / "small.elf", source], check=True)
        shutil.copy(FILES / "Inventory.java", folder)
        subprocess.run(["javac", "-d", folder, Path(folder) / "Inventory.java"], check=True)
        compiled = (Path(folder) / "com/example/shop/Inventory.class").read_bytes()
    (FILES / "small.elf").chmod(0o644)
    write("Inventory.class", compiled)
    with zipfile.ZipFile(FILES / "shop.jar", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\nMain-Class: com.example.shop.Inventory\n\n")
        archive.writestr("com/example/shop/Inventory.class", compiled)
    write("add.wasm", bytes.fromhex(
        "0061736d01000000" "0107016002 7f7f017f" "03020100" "070701 03616464 0000".replace(" ", "")
        + "0a09010700200020016a0b"))
    subprocess.run(["python3", "-c", (
        "import py_compile,sys;py_compile.compile(sys.argv[1],cfile=sys.argv[2],dfile='report.py',"
        "invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)"),
        FILES / "report.py", FILES / "report.pyc"], check=True)


def data() -> None:
    database = FILES / "orders.sqlite"
    database.unlink(missing_ok=True)
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA page_size = 1024")
    connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, total REAL)")
    connection.executemany("INSERT INTO orders (customer, total) VALUES (?, ?)", [("Ada", 12.5), ("Grace", 99.0)])
    connection.commit()
    connection.close()
    subprocess.run([
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650",
        "-subj", "/CN=example.com", "-keyout", "/dev/null", "-out", FILES / "certificate.pem"], check=True, capture_output=True)
    subprocess.run(["openssl", "x509", "-in", FILES / "certificate.pem", "-outform", "der", "-out", FILES / "certificate.der"],
                   check=True)
    numpy.save(FILES / "squares.npy", numpy.arange(64, dtype=numpy.float32) ** 2)
    numpy.savez(FILES / "squares.npz", a=numpy.arange(8), b=numpy.ones((3, 3)))
    with h5py.File(FILES / "squares.h5", "w") as handle:
        handle["squares"] = numpy.arange(32) ** 2
    write("state.pickle", pickle.dumps({"names": ["Ada", "Grace"], "totals": (12.5, 99.0), "nested": {"a": {1, 2}}}, 4))
    write("settings.bplist", plistlib.dumps({"Name": "clock", "Count": 3, "List": [1, 2.5, True]}, fmt=plistlib.FMT_BINARY))
    packet = bytes(range(60))
    write("packets.pcap", struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
          + b"".join(struct.pack("<IIII", second, 0, len(packet), len(packet)) + packet for second in range(4)))
    write("files.torrent", b"d8:announce35:http://tracker.example.com/announce10:created by7:example13:creation datei1714560000e"
          b"4:infod6:lengthi65536e4:name9:haiku.txt12:piece lengthi32768e6:pieces40:" + RANDOM.randbytes(40) + b"ee")


def fonts() -> None:
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "A"])
    builder.setupCharacterMap({65: "A"})
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    pen.lineTo((300, 700))
    pen.lineTo((500, 0))
    pen.closePath()
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "A": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (600, 0), "A": (600, 100)})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Example", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(FILES / "example.ttf")
    for flavor in ["woff", "woff2"]:
        font = TTFont(FILES / "example.ttf")
        font.flavor = flavor
        font.save(FILES / f"example.{flavor}")


def oddities() -> None:
    """What sits on the edges of the rules: nothing, too little, nearly nothing but space, cut off, foreign encodings."""
    write("empty", b"")
    write("one-byte", b"a")
    write("one-byte-binary", b"\xff")
    write("seven-bytes", b"seven b")
    write("eight-bytes", b"eight by")
    write("spaces", b" \t\r\n\x0b\x0c" * 100)
    write("spaces-long", b" " * 5000 + b"text after the first block")
    write("few-after-spaces", b"\n" * 4090 + "äöü".encode() + b" and more, past the first block")
    write("random-small", RANDOM.randbytes(300))
    write("random-large", RANDOM.randbytes(20000))
    write("random-text", bytes(RANDOM.choice(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") for _ in range(3000)))
    write("zeros", bytes(2000))
    write("utf-16.txt", PROSE.decode().encode("utf-16"))
    write("latin-1.txt", "Grüße aus Köln: schöne Füße, größer als üblich.\n".encode("latin-1") * 8)
    write("chinese.txt", ("古池や蛙飛び込む水の音。春眠不覺曉，處處聞啼鳥。夜來風雨聲，花落知多少。\n" * 6).encode())
    write("crlf.csv", (FILES / "sales.csv").read_bytes().replace(b"\n", b"\r\n"))
    write("bom.xml", b"\xef\xbb\xbf" + (FILES / "catalogue.xml").read_bytes())
    write("truncated.png", (FILES / "picture.png").read_bytes()[:100])
    write("truncated.zip", (FILES / "sources.zip").read_bytes()[:200])
    write("truncated.pdf", (FILES / "prose.pdf").read_bytes()[:600])
    write("truncated.py", (FILES / "report.py").read_bytes()[:120])
    write("block-exactly.txt", (PROSE * 20)[:4096])
    write("block-and-one.txt", (PROSE * 20)[:4097])
    write("long.py", (FILES / "report.py").read_bytes() * 20)
    write("two-in-one", (FILES / "picture.png").read_bytes() + (FILES / "index.html").read_bytes())


for step in [images, archives, documents, sound_and_film, programs, data, fonts, oddities]:
    step()
