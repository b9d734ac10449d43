"""Cells of media columns become parts: what goes untouched, what is made of it, and what is refused."""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import to_json

from extract.errors import ConfigError, InputError
from extract.media import Attachments, Media, MediaError, Part, fill
from extract.media.part import Kept, digest_of
from extract.records import Record
from extract.sources import open_source
from tests.media import making
from tests.media.making import opened, parts, pdf, picture, refused


def data_url(data: bytes, mime: str = "image/png") -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


FILES = {
    "image/png": picture(),
    "image/tiff": picture(kind="TIFF"),
    "image/heic": making.box(b"ftyp", b"heic\0\0\0\0mif1heic") + making.box(b"meta"),
    "application/pdf": pdf(["a", "b"]),
    "audio/wav": making.wav(),
    "video/mp4": making.mp4(),
}


@pytest.mark.parametrize("mime", FILES)
@pytest.mark.parametrize("as_", ["auto", "file"])
def test_files_go_untouched(tmp_path: Path, mime: str, as_: str) -> None:
    """From a path, from bytes and from a data URL: the same bytes, and the same digest."""
    data = FILES[mime]
    (tmp_path / "f").write_bytes(data)
    found = [*parts("f", tmp_path, as_=as_), *parts(data, as_=as_), *parts(data_url(data, mime), as_=as_)]
    assert [(mime, data, len(data), digest_of(data), ())] * 3 == [
        (part.mime, part.data(), part.size, part.digest, part.flags) for part in found
    ]
    assert data_url(data, mime) == found[0].data_url()


def test_a_cell_may_hold_several_files(tmp_path: Path) -> None:
    """A list, a list in JSON as cells of JSONL are, and the form that image datasets have in Parquet."""
    one, two = picture(), pdf()
    (tmp_path / "a.png").write_bytes(one)
    (tmp_path / "[b].pdf").write_bytes(two)
    cells: list[Any] = [
        ["a.png", two],
        '["a.png", "[b].pdf"]',
        [{"bytes": one, "path": "x"}, {"bytes": None, "path": "[b].pdf"}],
        (memoryview(one), bytearray(two)),
        [tmp_path / "a.png", None, "", "[b].pdf"],
    ]
    for cell in cells:
        assert [one, two] == [part.data() for part in parts(cell, tmp_path)]
    assert [two] == [part.data() for part in parts("[b].pdf", tmp_path)]


@pytest.mark.parametrize("cell", [None, "", [], "[]", b"", [None], {"bytes": None, "path": None}])
def test_an_empty_cell_is_an_issue_unless_it_may_be(cell: Any) -> None:
    """A model that is asked about no picture would invent one."""
    assert refused(cell) in ("media.missing", "media.empty")
    if cell != b"":
        with pytest.raises(MediaError, match=r"optional=True\) asks without"):
            parts(cell)
        assert () == parts(cell, optional=True)


def test_limits_of_number_and_size() -> None:
    """Of files in a cell, of bytes of one file and of all together."""
    data = picture()
    assert 2 == len(parts([data, data], max_files=2, max_bytes=2 * len(data)))
    assert "media.count" == refused([data, data], max_files=1)
    assert "media.size" == refused(data, max_bytes=len(data) - 1)
    assert "media.size" == refused(data_url(data), max_bytes=len(data) - 10)
    assert "media.size" == refused([data, data], max_bytes=2 * len(data) - 1)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("data:image/png", "media.broken"),
        ("data:image/png;base64,@@@@", "media.broken"),
        ("data:image/png;base64,iVBORw0KGg", "media.broken"),
        ("data:image/png;base64,", "media.empty"),
        ("data:,hello", "media.type"),
        ("data:image/png;base64,iVBORw0KGgo=", "media.broken"),
    ],
)
def test_bad_data_urls(url: str, code: str) -> None:
    assert code == refused(url)


def test_a_data_url_may_be_percent_encoded() -> None:
    """As browsers write them; what they claim is compared with the content."""
    data = picture()
    encoded = "data:image/jpeg," + "".join(f"%{byte:02x}" for byte in data)
    (part,) = parts(encoded)
    assert (data, "image/png", ("media.misnamed",)) == (part.data(), part.mime, part.flags)


def test_a_name_that_lies_is_flagged_and_the_content_counts(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(picture())
    (part,) = parts("a.jpg", tmp_path)
    assert ("image/png", ("media.misnamed",)) == (part.mime, part.flags)


def test_a_folder_called_as_a_media_type_claims_nothing(tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / "jpeg").write_bytes(picture())
    assert () == parts("image/jpeg", tmp_path)[0].flags


def test_a_large_image_is_made_smaller_upright_and_always_alike() -> None:
    """Below the limit in pixels, in its proportions, turned as its EXIF says, with no EXIF left."""
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6  # turn right
    data = picture((200, 100), "JPEG", exif=exif)
    (part,) = parts(data, max_pixels=5000)
    image = opened(part.data())
    assert ("image/jpeg", (50, 100), {}) == (part.mime, image.size, dict(image.getexif()))
    assert part == parts(data, max_pixels=5000)[0]
    assert [data, data] == [
        parts(data, max_pixels=20_000)[0].data(),
        parts(data, as_="file", max_pixels=5000)[0].data(),
    ]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "LA", "I;16"])
def test_images_of_every_mode_can_be_made_smaller(mode: str) -> None:
    from PIL import Image

    image = Image.effect_noise((100, 80), 50)
    image = (
        image.convert("I").point(lambda value: value * 256).convert("I;16") if mode == "I;16" else image.convert(mode)
    )
    out = making.io.BytesIO()
    image.save(out, "PNG")
    small = opened(parts(out.getvalue(), max_pixels=2000)[0].data())
    assert (50, 40) == small.size
    assert 30 < sum(small.convert("L").tobytes()) / 2000 < 225


def test_a_jpeg_of_four_colours_can_be_made_smaller() -> None:
    data = picture((100, 80), "JPEG", "CMYK")
    assert ("RGB", (50, 40)) == ((small := opened(parts(data, max_pixels=2000)[0].data())).mode, small.size)


def test_an_animation_made_smaller_says_what_it_lost() -> None:
    """Its first picture is sent, and a flag; untouched it stays an animation."""
    from PIL import Image

    frames = [Image.effect_noise((60, 50), size) for size in (20, 90)]
    out = making.io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    (part,) = parts(out.getvalue(), max_pixels=1000)
    assert ("image/png", ("media.first_frame",)) == (part.mime, part.flags)
    assert out.getvalue() == parts(out.getvalue())[0].data()


def test_pages_of_a_tiff_are_images_each() -> None:
    """Scans have many; none is lost, and page ranges hold."""
    from PIL import Image

    frames = [Image.new("L", (20 + n, 10), 60 * n) for n in range(3)]
    out = making.io.BytesIO()
    frames[0].save(out, "TIFF", save_all=True, append_images=frames[1:])
    found = parts(out.getvalue(), as_="images")
    assert [("image/png", (20, 10)), ("image/png", (21, 10)), ("image/png", (22, 10))] == [
        (part.mime, opened(part.data()).size) for part in found
    ]
    assert [(21, 10)] == [opened(part.data()).size for part in parts(out.getvalue(), as_="images", pages="2")]


def test_images_that_models_read_stay_as_they_are_among_images() -> None:
    for kind in ("PNG", "JPEG", "WEBP", "GIF"):
        data = picture(kind=kind)
        assert data == parts(data, as_="images")[0].data()
    assert ("image/png", "media.type") == (
        parts(picture(kind="BMP"), as_="images")[0].mime,
        refused(FILES["image/heic"], as_="images"),
    )


@pytest.mark.parametrize("name", ["audio/wav", "video/mp4"])
def test_sound_is_neither_image_nor_text(name: str) -> None:
    assert ("media.type", "media.no_text") == (refused(FILES[name], as_="images"), refused(FILES[name], as_="text"))


def test_pages_become_images() -> None:
    """In their order, at the resolution that is asked for, within the limit in pixels, always the same bytes."""
    data = pdf(["one", "two", "three"])
    found = parts(data, as_="images", dpi=72)
    assert [("image/png", (200, 100))] * 3 == [(part.mime, opened(part.data()).size) for part in found]
    assert 3 == len({part.digest for part in found})
    assert found == parts(data, as_="images", dpi=72)
    assert found[1:] == parts(data, as_="images", dpi=72, pages="2-")
    assert {(400, 200)} == {opened(part.data()).size for part in parts(data, as_="images", dpi=144)}
    (small,) = parts(data, as_="images", pages="1", max_pixels=2000)
    wide, high = opened(small.data()).size
    assert 1500 < wide * high <= 2000


def test_a_page_shows_its_text_and_its_colours() -> None:
    """Black on white is grey; a red box is red."""
    grey = opened(parts(pdf(["text"]), as_="images")[0].data())
    red = opened(parts(pdf(["text"], more="1 0 0 rg 0 0 200 30 re f 0 g"), as_="images", dpi=72)[0].data())
    assert ("L", True, (255, 0, 0)) == (grey.mode, min(grey.tobytes()) < 100, red.getpixel((100, 90)))


def test_text_of_pages_stands_between_lines_that_name_them() -> None:
    """One text part a file; the lines carry the digest of the file, so a page cannot forge them."""
    data = pdf(["one", "--- end of file ---", "three"])
    (part,) = parts(data, as_="text", pages="2,3")
    name = digest_of(data)[:8]
    expected = [
        f"--- file {name}, page 2 of 3 ---",
        "--- end of file ---",
        f"--- file {name}, page 3 of 3 ---",
        "three",
        f"--- end of file {name} ---",
    ]
    assert expected == str(part.text).splitlines()
    assert {"type": "text", "text": part.text} == part.content()


def test_a_pdf_without_text_is_an_issue_and_a_page_without_a_flag() -> None:
    assert "media.no_text" == refused(pdf(["", ""]), as_="text")
    assert ("media.page_without_text",) == parts(pdf(["one", ""]), as_="text")[0].flags
    assert () == parts(pdf(["one", ""]), as_="text", pages="1")[0].flags
    assert "media.no_text" == refused(picture(), as_="text")


def test_a_range_of_pages_cuts_the_file() -> None:
    """The same pages give the same bytes; all pages leave the file as it is."""
    data = pdf([f"page {number}" for number in range(5)])
    (part,) = parts(data, pages="2,4-")
    assert part == parts(data, pages="2,4-")[0]
    text = str(parts(part.data(), as_="text")[0].text)
    assert ["page 1", "page 3", "page 4"] == [line for line in text.splitlines() if not line.startswith("---")]
    assert data == parts(data, pages="1-9")[0].data()


@pytest.mark.parametrize("pages", ["", "0", "a", "3-1", "1-2-3", "-2", "1,,2", "1.5"])
def test_bad_page_ranges_are_refused_at_once(pages: str) -> None:
    with pytest.raises(ConfigError, match=r"Media\.pages"):
        Media(column="a", pages=pages)


def test_pages_that_are_not_there_and_too_many_pages() -> None:
    data = pdf(["a"] * 4)
    assert ["media.pages"] * 3 == [
        refused(data, pages="5-"),
        refused(data, max_pages=3),
        refused(data, as_="images", pages="1-4", max_pages=3),
    ]
    assert 1 == len(parts(data, pages="2", max_pages=1))


def test_what_a_form_holds_is_seen() -> None:
    """A filled field is part of the page, as image and as text."""
    data = filled_form("Total 42")
    assert "Total 42" in str(parts(data, as_="text")[0].text)
    shown, bare = (opened(parts(each, as_="images", dpi=72)[0].data()) for each in (data, filled_form("")))
    assert shown.tobytes() != bare.tobytes()


def filled_form(value: str) -> bytes:
    look = f"/Tx BMC q BT /F 12 Tf 2 5 Td ({value}) Tj ET Q EMC"
    return making.assembled(
        [
            "<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [5 0 R] /DR << /Font << /F 4 0 R >> >> >> >>",
            "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 100] /Annots [5 0 R] >>",
            "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
            "<< /Type /Annot /Subtype /Widget /FT /Tx /T (a) /DA (/F 12 Tf 0 g) /P 3 0 R /F 4 "
            f"/V ({value}) /Rect [10 10 150 40] /AP << /N 6 0 R >> >>",
            "<< /Type /XObject /Subtype /Form /BBox [0 0 140 30] /Resources << /Font << /F 4 0 R >> >> "
            f"/Length {len(look)} >>\nstream\n{look}\nendstream",
        ]
    )


def test_the_body_holds_names_until_it_is_sent() -> None:
    """Filling puts data URLs where the placeholders stand, and nowhere else, whatever the texts say."""
    one, two = parts([picture(), pdf()])
    (far,) = parts("https://example.com/a.png")
    lie = to_json(one.content()).decode()
    content = [{"type": "text", "text": lie}, one.content(), two.content(), far.content(), one.content()]
    body = to_json({"messages": [{"role": "user", "content": content}]})
    assert len(body) < 1500
    filled = json.loads(fill(body, [one, two, far]))["messages"][0]["content"]
    assert [lie, one.data_url(), two.data_url(), "https://example.com/a.png", one.data_url()] == [
        item.get("text") or item["image_url"]["url"] for item in filled
    ]
    assert b"{}" == fill(b"{}", [])


def test_a_file_that_changes_before_it_is_sent_is_an_issue(tmp_path: Path) -> None:
    """What the hash of the request names is what goes out, or nothing."""
    (tmp_path / "a.png").write_bytes(picture())
    (part,) = parts("a.png", tmp_path)
    (tmp_path / "a.png").write_bytes(picture((41, 30)))
    with pytest.raises(MediaError) as caught:
        fill(to_json(part.content()), [part])
    assert "media.changed" == caught.value.issue.code
    (tmp_path / "a.png").unlink()
    with pytest.raises(MediaError) as caught:
        part.data()
    assert "media.missing" == caught.value.issue.code


def test_what_was_made_is_made_again_when_it_is_no_longer_kept(tmp_path: Path) -> None:
    """The bytes at hand are few and bounded; the same come again."""
    data = pdf(["one", "two"])
    (tmp_path / "a.pdf").write_bytes(data)
    forgetful = Attachments([Media(column="f", as_="images")], tmp_path, kept=Kept(0))
    found = forgetful.parts_for(Record("a", 0, {"f": "a.pdf"}))["f"]
    assert [part.data() for part in found] == [part.data() for part in parts(data, as_="images")]


def test_kept_bytes_are_bounded() -> None:
    """The oldest go first; what is larger than all is not kept."""
    kept = Kept(10)
    kept.put("a", b"1234")
    kept.put("b", b"1234")
    assert b"1234" == kept.take("a")
    kept.put("c", b"12345")
    kept.put("d", b"x" * 11)
    assert [b"1234", None, b"12345", None] == [kept.take(name) for name in "abcd"]


def test_many_threads_at_once_give_the_same_parts() -> None:
    """pdfium cannot run in two threads at once; it never does."""
    files = [pdf([f"{number} {page}" for page in range(3)]) for number in range(6)] + [picture((300, 200))]
    attach = Attachments([Media(column="f", as_="images", dpi=72, max_pixels=30_000)], kept=Kept(0))

    def digests() -> list[str]:
        found = [attach.parts_for(Record("a", 0, {"f": data}))["f"] for data in files]
        return [digest_of(part.data()) for each in found for part in each]

    expected, results = digests(), list[list[str]]()
    threads = [threading.Thread(target=lambda: results.append(digests())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [expected] * 6 == results


def test_settings_are_checked_when_built() -> None:
    for bad in ({"as_": "video"}, {"max_bytes": 0}, {"dpi": 1}, {"colum": "a"}, {"column": ""}):
        with pytest.raises(ConfigError, match="Media"):
            Media(**({"column": "a"} | bad))  # type: ignore[arg-type]


def test_without_the_libraries_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to install."""
    import sys

    from extract.media import libraries

    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    with pytest.raises(ConfigError, match=r"need pypdfium2.*pip install 'tablecast\[documents\]'"):
        parts(pdf())
    monkeypatch.setattr(libraries, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'tablecast\[documents\]'"):
        libraries.require()


def test_a_part_names_what_it_holds_but_not_how_it_is_made() -> None:
    """Parts of the same content are equal; none prints its bytes."""
    data = picture()
    one, two = parts([data, data])
    assert (one, True) == (two, isinstance(one, Part) and len(repr(one)) < 200)


def test_the_fingerprint_of_a_source_follows_the_files_that_it_names(tmp_path: Path) -> None:
    """The same paths with another content are another source; what cannot be read has its place in it too."""
    (tmp_path / "a.csv").write_text("id,file\n1,a.png\n2,gone.png\n3,data:image/png;base64,AA==\n4,https://h/x\n5,\n")
    (tmp_path / "a.png").write_bytes(picture())
    plain = open_source(tmp_path / "a.csv", "id")
    attach = Attachments([Media(column="file", max_bytes=5000)], plain.folder)
    source = replace(plain, also=attach.digests)
    first = source.scan()
    assert [first, True] == [source.scan(), first != plain.scan()]
    (tmp_path / "a.png").write_bytes(picture()[:-1] + b"x")
    with pytest.raises(InputError, match="has changed"):
        list(source.records_of(first))
    second = source.scan()
    (tmp_path / "gone.png").write_bytes(bytes(5001))
    third = source.scan()
    (tmp_path / "gone.png").write_bytes(bytes(5002))
    assert 4 == len({first.fingerprint, second.fingerprint, third.fingerprint, source.scan().fingerprint})
    records = list(source.records())
    assert ["5002 bytes", "-", "-", ""] == [attach.digests(record) for record in records[1:]]
    assert digest_of((tmp_path / "a.png").read_bytes()) == attach.digests(records[0])


def test_what_only_looks_like_a_file_stays_as_it_is(tmp_path: Path) -> None:
    """As a model may say in what is sent back to it."""
    odd = b'{"google":{"url":"x-media:image/png,0"},"url":"x-media:"}'
    assert odd == fill(odd, [])
