#!/usr/bin/env python3
"""Writes the pictures under pictures/, the same ones each time.

    apt install fonts-dejavu-core fonts-wqy-zenhei
    pip install pillow==13.0.0 numpy==2.4.6
    python make.py
"""

import random
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

OUT = Path(__file__).parent / "pictures"
DEJAVU = "/usr/share/fonts/truetype/dejavu/DejaVu{}.ttf"
WQY = "/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc"
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def font(size: int, face: str = "Sans") -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(WQY if face == "CJK" else DEJAVU.format(face), size)


def page(size, lines, paper=WHITE, ink=BLACK) -> Image.Image:
    """Lines of text on paper; each line is (x, y, size, face, text)."""
    image = Image.new("RGB", size, paper)
    draw = ImageDraw.Draw(image)
    for x, y, height, face, text in lines:
        draw.text((x, y), text, ink, font(height, face))
    return image


def noisy(image: Image.Image, amount: float, seed: int) -> Image.Image:
    """Grain as of a camera, and a light that falls off to the lower right."""
    pixels = np.asarray(image).astype(np.float64)
    height, width, _ = pixels.shape
    shade = 1 - 0.35 * (np.linspace(0, 1, width)[None, :] + np.linspace(0, 1, height)[:, None]) / 2
    grain = np.random.default_rng(seed).normal(0, amount, pixels.shape)
    pixels = pixels * shade[:, :, None] + grain
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.5))


def turned(image: Image.Image, degrees: float, paper=WHITE) -> Image.Image:
    return image.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=paper)


def save(name: str, image: Image.Image, **options) -> None:
    image.save(OUT / name, **options)


RECEIPT = page((420, 560), [
    (120, 30, 30, "Sans-Bold", "CORNER CAFE"),
    (60, 90, 22, "Sans", "12 Harbour Street"),
    (60, 125, 22, "Sans", "Tel 555-0142"),
    (40, 190, 22, "SansMono", "Flat white"), (300, 190, 22, "SansMono", "4.20"),
    (40, 230, 22, "SansMono", "Almond cake"), (300, 230, 22, "SansMono", "3.75"),
    (40, 270, 22, "SansMono", "Orange juice"), (300, 270, 22, "SansMono", "5.10"),
    (40, 330, 26, "Sans-Bold", "TOTAL"), (290, 330, 26, "Sans-Bold", "13.05"),
    (40, 400, 22, "Sans", "Paid by card"),
    (40, 435, 22, "Sans", "2026-11-23 14:07"),
    (90, 500, 24, "Serif", "Thank you and goodbye"),
])
TILTED = page((430, 200), [
    (30, 40, 32, "Sans", "Platform 9 is closed"),
    (30, 110, 32, "Serif", "Please use exit B"),
])
CHINESE = page((520, 360), [
    (40, 30, 44, "CJK", "天气预报"),
    (40, 110, 30, "CJK", "今天多云，最高气温二十五度"),
    (40, 170, 30, "CJK", "明天有小雨，请带好雨伞"),
    (40, 230, 30, "CJK", "欢迎来到北京图书馆"),
    (40, 290, 30, "CJK", "营业时间：上午九点"),
])

save("receipt.png", RECEIPT)
save("receipt.jpg", noisy(RECEIPT, 6, 1), quality=80)
save("columns.png", page((640, 400), [
    (30 + 320 * column, 40 + 50 * row, 24, "Sans", text)
    for column, texts in enumerate([
        ["Apples from Kent", "Bread, two loaves", "Cheddar 500 g", "Dates and figs", "Eggs, one dozen", "Flour 1 kg"],
        ["Monday: closed", "Tuesday 9 to 17", "Wednesday 9 to 17", "Thursday 10 to 20", "Friday 9 to 17", "Saturday 10 to 14"],
    ])
    for row, text in enumerate(texts)
]))
save("small.png", page((360, 260), [
    (20, 20 + 28 * row, 12, "Sans", text)
    for row, text in enumerate([
        "Small print is read by few people.", "The warranty ends after 24 months.", "Keep this leaflet for later use.",
        "Store below 25 degrees Celsius.", "Batch 7741-C, made in Portugal.", "Do not expose to direct sunlight.",
        "Recycle the box with paper.", "Questions: write to us.",
    ])
]))
save("night.png", page((500, 220), [
    (40, 40, 40, "Sans-Bold", "OPEN ALL NIGHT"),
    (40, 120, 30, "Sans", "Pharmacy and kiosk"),
], (20, 24, 60), (240, 230, 160)))
save("slide.jpg", page((800, 600), [
    (60, 60, 52, "Serif-Bold", "Annual report"),
    (60, 180, 32, "Sans", "Revenue grew by 12 percent"),
    (60, 250, 32, "Sans", "Costs fell by 3 percent"),
    (60, 320, 32, "Sans", "Staff: 214 people in 5 offices"),
    (60, 500, 22, "Sans", "Page 7 of 31"),
], (0, 70, 90), WHITE), quality=85)
save("chinese.png", CHINESE)
save("chinese_night.jpg", noisy(page((480, 240), [
    (40, 40, 48, "CJK", "出口在左边"),
    (40, 130, 36, "CJK", "小心台阶"),
], (30, 30, 34), (250, 220, 120)), 4, 2), quality=85)
save("mixed.jpg", page((560, 300), [
    (40, 40, 34, "CJK", "第3号线 Line 3"),
    (40, 110, 34, "CJK", "往机场方向 To Airport"),
    (40, 190, 28, "CJK", "票价 25 元"),
    (320, 190, 28, "CJK", "每10分钟一班"),
]), quality=90)
save("tilt_5.png", turned(TILTED, 5))
save("tilt_15.jpg", turned(TILTED, 15), quality=88)
save("tilt_-20.png", turned(TILTED, -20))
save("chinese_tilt_10.png", turned(CHINESE.crop((0, 90, 520, 280)), 10))
save("turned_90.png", turned(TILTED, 90))
save("turned_180.png", turned(TILTED, 180))
save("gray.png", TILTED.convert("L"))
save("gray.jpg", RECEIPT.crop((0, 170, 420, 470)).convert("L"), quality=75)
save("palette.png", page((400, 160), [
    (30, 30, 34, "Sans-Bold", "Fragile goods"), (30, 90, 28, "Sans", "This side up"),
], (250, 200, 40), (150, 20, 20)).quantize(16))
save("bilevel.png", page((380, 150), [
    (30, 30, 32, "Serif", "Invoice 20931"), (30, 85, 28, "Serif", "Due on 1 March"),
]).convert("1", dither=Image.Dither.NONE))
opaque = page((460, 150), [
    (30, 30, 30, "Sans", "A window with a title"), (30, 85, 26, "Sans", "Cancel"), (250, 85, 26, "Sans", "Save as"),
], (236, 240, 244), (30, 40, 60)).convert("RGBA")
save("opaque.png", opaque)
transparent = Image.new("RGBA", (420, 150), (0, 0, 0, 0))
draw = ImageDraw.Draw(transparent)
draw.text((30, 30), "See-through paper", (10, 30, 120, 255), font(32))
draw.text((30, 90), "with blue ink", (10, 30, 120, 255), font(28))
save("transparent.png", transparent)
# The camera was held on its side: orientation 6 says to turn the picture by 90 degrees clockwise.
exif = Image.Exif()
exif[0x0112] = 6
save("exif_6.jpg", page((480, 320), [
    (40, 50, 36, "Sans", "Held on its side"),
    (40, 130, 30, "Sans", "but read upright"),
    (40, 220, 26, "SansMono", "EXIF 0x0112 = 6"),
]).transpose(Image.Transpose.ROTATE_90), quality=85, exif=exif)
save("progressive.jpg", noisy(page((640, 480), [
    (70, 90, 46, "Sans-Bold", "NO PARKING"),
    (70, 190, 34, "Sans", "Monday to Friday"),
    (70, 260, 34, "Sans", "8.00 - 18.30"),
    (70, 360, 26, "Sans", "Permit holders excepted"),
], (225, 228, 220), (170, 20, 30)), 8, 3), quality=70, progressive=True)
# The picture is more than eight times as wide as high, which the package pads above and below.
save("banner.png", page((720, 60), [(20, 12, 28, "Sans", "Breaking news: the river is back in its bed")]))
# Less than 30 pixels high, which the package enlarges.
save("label.png", page((150, 24), [(8, 3, 16, "Sans", "Serial 4471-09")]))
# More than 2000 pixels wide, which the package reduces.
save("large.png", page((2400, 1500), [
    (200, 150, 90, "Sans-Bold", "City library"),
    (200, 400, 64, "Sans", "Reading room on the second floor"),
    (200, 560, 64, "Sans", "Children and parents: ground floor"),
    (200, 1000, 64, "CJK", "请保持安静"),
    (1300, 1000, 64, "CJK", "二楼阅览室"),
    (200, 1250, 48, "Serif", "Open daily except on public holidays"),
]).convert("L"))
# More lines than the package puts into one batch, of widths from one word to the whole page.
random.seed(4)
words = "amber basin cedar delta ember fjord grove heath inlet jetty knoll ledge marsh north ocean point quay ridge".split()
save("list.png", page((620, 640), [
    (30, 20 + 44 * row, 24, ["Sans", "Serif", "SansMono"][row % 3], " ".join(random.choices(words, k=1 + row % 5)))
    for row in range(14)
]))
# A sign seen from the side.
sign = page((480, 260), [(40, 40, 44, "Sans-Bold", "Mountain hut"), (40, 140, 36, "Sans", "2 h 15 min")], (240, 215, 60))
wide = Image.new("RGB", (560, 380), (90, 120, 90))
sign = sign.convert("RGBA").transform(
    (560, 380), Image.Transform.PERSPECTIVE, (1.02, 0.05, -45.0, -0.16, 1.0, -20.0, -0.0002, 0.0002), Image.Resampling.BICUBIC
)
wide.paste(sign, (0, 0), sign)
save("sign.jpg", noisy(wide, 5, 5), quality=80)
save("empty.png", Image.new("RGB", (320, 240), WHITE))
save("meadow.jpg", noisy(Image.new("RGB", (400, 300), (96, 140, 70)), 10, 6), quality=60)
# As telephones take them: a coloured page at a slight angle, unevenly lit, grainy, and stored small.
save("poster.jpg", noisy(turned(page((520, 360), [
    (40, 40, 44, "Serif-Bold", "Village concert"),
    (40, 130, 30, "Sans", "Saturday, 12 June, 19:30"),
    (40, 190, 26, "Sans", "Old town hall, first floor"),
    (40, 280, 26, "Sans-Bold", "Admission 8.50"),
], (250, 226, 150), (150, 20, 60)), 3, (70, 62, 54)), 9, 7), quality=50)
save("menu.jpg", noisy(turned(page((460, 380), [
    (40, 30, 40, "CJK", "今日菜单"),
    (40, 120, 28, "CJK", "红烧牛肉面"), (300, 120, 28, "CJK", "32元"),
    (40, 180, 28, "CJK", "番茄鸡蛋汤"), (300, 180, 28, "CJK", "18元"),
    (40, 240, 28, "CJK", "茉莉花茶"), (300, 240, 28, "CJK", "12元"),
    (40, 310, 26, "Sans", "Open until 22:00"),
], (196, 40, 40), (255, 240, 200)), -2, (60, 50, 40)), 7, 8), quality=60, subsampling=1)
save("timetable.jpg", noisy(page((480, 300), [
    (30, 25, 30, "Sans-Bold", "Bus 42 to the station"),
    (30, 90, 22, "SansMono", "06:10 06:40 07:10 07:40"),
    (30, 130, 22, "SansMono", "12:15 12:45 13:15 13:45"),
    (30, 170, 22, "SansMono", "18:05 18:35 19:05 19:35"),
    (30, 235, 22, "Sans", "No service on 25 December"),
], (40, 90, 60), (235, 235, 120)), 8, 9), quality=40, progressive=True)
