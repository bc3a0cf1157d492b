"""What of a library is given back, and what a small model's server keeps."""

from __future__ import annotations

from mainspring.components.serving import library_pages

MAPPINGS = """\
7f0000000000-7f0000400000 r-xp 00001000 08:01 42                         /lib/libbig.so
Size:               4096 kB
Anonymous:             0 kB
7f0000400000-7f0000800000 r--p 00401000 08:01 42                         /lib/libbig.so
Size:               4096 kB
Anonymous:          4096 kB
7f0000800000-7f0000c00000 rw-p 00801000 08:01 42                         /lib/libbig.so
Anonymous:             0 kB
7f0000c00000-7f0000c01000 r-xp 00000000 08:01 43                         /lib/libsmall.so
Anonymous:             0 kB
7f0001000000-7f0001400000 r--s 00000000 08:01 44                         /data/shared
Anonymous:             0 kB
7f0002000000-7f0002400000 r--p 00000000 00:00 0
Anonymous:             0 kB
7f0003000000-7f0003400000 r--p 00000000 08:01 45                         /lib/with a blank.so
Anonymous:             0 kB
"""


def test_only_large_private_mappings_of_files_that_nothing_was_written_into_are_given_back():
    assert list(library_pages.unchanged(MAPPINGS)) == [
        (0x7F0000000000, 0x7F0000400000),
        (0x7F0003000000, 0x7F0003400000),
    ]


def test_this_process_goes_on_without_them():
    library_pages.give_back()
    import numpy

    assert float(numpy.linalg.det(numpy.eye(3))) == 1.0
