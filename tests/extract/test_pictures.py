"""How many pictures packets show, by bits of known meaning."""

import pytest

from vapipe.extract.media.pictures import UNSURE, picture_counter


def golomb(value):
    bits = f"{value + 1:b}"
    return "0" * (len(bits) - 1) + bits


def nal(kind, bits):
    bits += "1" + "0" * (-len(bits) - 1 & 7)
    return b"\0\0\1" + bytes([kind]) + int(bits, 2).to_bytes(len(bits) // 8, "big")


def sequence(fields):
    """A sequence parameter set of H.264 (main profile, 8 bits of frame_num)."""
    head = f"{77:08b}" + "0" * 8 + f"{30:08b}" + golomb(0)
    return nal(
        0x67,
        head + golomb(4) + golomb(2) + golomb(1) + "0" + golomb(3) + golomb(3) + f"{1 - fields}",
    )


def slice_of(number, parity=None, first=0):
    """A slice of a frame, or of a top (0) or bottom (1) field; `first` macroblock in it."""
    field = "0" if parity is None else f"1{parity}"
    return nal(0x41, golomb(first) + golomb(0) + golomb(0) + f"{number:08b}" + field + "0" * 16)


TOP, BOTTOM = 0, 1


@pytest.mark.parametrize(
    ("packets", "counts"),
    [
        ([slice_of(n) for n in range(4)], [1, 1, 1, 1]),
        ([slice_of(n // 2, n % 2) for n in range(6)], [1, 0, 1, 0, 1, 0]),
        ([slice_of(n // 2, 1 - n % 2) for n in range(4)], [1, 0, 1, 0]),
        ([slice_of(n, TOP) + slice_of(n, BOTTOM) for n in range(3)], [1, 1, 1]),
        (
            [slice_of(5, TOP), slice_of(5, BOTTOM), slice_of(5, TOP), slice_of(5, BOTTOM)],
            [1, 0, 1, 0],
        ),
        ([slice_of(1), slice_of(2, TOP), slice_of(2, BOTTOM), slice_of(3)], [1, 1, 0, 1]),
        ([slice_of(1, TOP), slice_of(2, TOP), slice_of(2, BOTTOM)], [1, 1, 0]),  # one is lost
        (
            [
                slice_of(1, TOP) + slice_of(1, TOP, 9),
                slice_of(1, BOTTOM) + slice_of(1, BOTTOM, 9),
                slice_of(2, None, 9),
            ],
            [1, 0, 1],
        ),
        ([nal(0x06, "1" * 8), b"\0\0\1\x09\xf0", b"\0\0\1\x0a"], [0, 0, 0]),
    ],
)
def test_fields_of_h264_are_paired_by_their_slice_headers(packets, counts):
    counter = picture_counter("h264", sequence(fields=1), intra_only=False)
    assert [counter(packet) for packet in packets] == counts
    within = picture_counter("h264", None, intra_only=False)  # told amid the packets
    assert [within(sequence(fields=1) + packets[0]), *map(within, packets[1:])] == counts


def test_slices_of_frames_are_one_picture():
    counter = picture_counter("h264", sequence(fields=0), intra_only=False)
    assert counter(slice_of(1) + slice_of(1, None, 9) + slice_of(1, None, 40)) == 1
    assert counter(slice_of(1) + slice_of(2)) == 2


# -- other codecs ----------------------------------------------------------------------------------


def hevc(kind, first=1, layer=0):
    """A unit of HEVC; `first`: first_slice_segment_in_pic_flag."""
    head = bytes([kind << 1 | layer >> 5, (layer & 31) << 3 | 1])
    return b"\0\0\1" + head + bytes([first << 7 | 0x20])


@pytest.mark.parametrize(
    ("packet", "count"),
    [
        (hevc(32) + hevc(33) + hevc(19), 1),
        (hevc(1) + hevc(1, first=0), 1),
        (hevc(1) + hevc(1, layer=1), 1),  # a second view
        (hevc(39) + hevc(35), 0),
        (hevc(1) + hevc(1), 2),
        (hevc(16), UNSURE),  # a broken link: leading pictures are left out
        (hevc(1) + hevc(36), UNSURE),
    ],
)
def test_slices_of_hevc(packet, count):
    assert picture_counter("hevc", None, intra_only=False)(packet) == count


@pytest.mark.parametrize(
    ("packet", "count"),
    [
        ([0b10000110, 1], 1),  # shown
        ([0b10000100, 1], 0),
        ([0b10001000], 1),  # show_existing_frame
        ([0b10110010, 1], 0),  # profile 3: a reserved bit more
        ([0b10110001, 1], 1),
        ([0b10000100, 7, 7, 0b10000110, 7, 0b11000001, 3, 2, 0b11000001], 1),  # superframe
        ([0b10000100, 7, 0b10000100, 7, 0b11000001, 2, 2, 0b11000001], 0),
        ([0x00, 0x00], 1),  # damaged
    ],
)
def test_frames_of_vp9(packet, count):
    assert picture_counter("vp9", None, intra_only=False)(bytes(packet)) == count


@pytest.mark.parametrize(("first", "count"), [(0x10, 1), (0x00, 0), (0x11, 1), (0x01, 0)])
def test_frames_of_vp8(first, count):
    assert picture_counter("vp8", None, intra_only=False)(bytes([first, 9, 9])) == count


def obu(kind, *content):
    return bytes([kind << 3 | 2, len(content), *content])


@pytest.mark.parametrize(
    ("packet", "count"),
    [
        (obu(2) + obu(1, 0) + obu(6, 0b00010000, 1), 1),
        (obu(2) + obu(6, 0b00000000, 1), 0),
        (obu(2) + obu(3, 0b10000000) + obu(6, 0b00100000), 1),  # show_existing_frame
        (obu(2) + obu(1, 0b00011000) + obu(6, 0), 1),  # a still picture
        (obu(2) + bytes([0x32, 99]), 1),  # cut off
    ],
)
def test_frames_of_av1(packet, count):
    assert picture_counter("av1", None, intra_only=False)(packet) == count


def test_codecs_of_whole_pictures_tell_one_and_others_nothing():
    assert picture_counter("prores", None, intra_only=True)(b"anything") == 1
    assert picture_counter("mpeg4", None, intra_only=False) is None
