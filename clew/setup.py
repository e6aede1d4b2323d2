"""Builds the recorder's native hot path where a C compiler is at hand; everything else is said in pyproject.toml.

`CLEW_BUILD=pure` leaves it out, `CLEW_BUILD=native` makes a failed build an error; otherwise it is tried, and the
pure-Python twin records where it fails.
"""

import contextlib
import os
import sys

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

_WANTED = os.environ.get("CLEW_BUILD", "")


class BuildExtension(build_ext):
    """Says in one line what a failed build means, and leaves no older one behind."""

    def build_extension(self, ext: Extension) -> None:
        try:
            super().build_extension(ext)
        except Exception:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.get_ext_fullpath(ext.name))
            if _WANTED != "native":
                print(
                    "clew: the native recorder was not built, which takes a C compiler and Python's headers; "
                    "the one in Python will be used, which is several times slower",
                    file=sys.stderr,
                )
            raise  # build_ext goes on where the extension is optional


native = Extension(
    "clew.recorder._fast",
    ["src/clew/recorder/_fast.pyx"],
    # Debug information would be nine tenths of the wheel.
    extra_compile_args=[] if sys.platform == "win32" else ["-O3", "-g0", "-fvisibility=hidden"],
    optional=_WANTED != "native",
)

setup(ext_modules=[] if _WANTED == "pure" else [native], cmdclass={"build_ext": BuildExtension})
