"""`clew run`: traces a program without changes to it, and the Python processes that it starts.

Options become `OTEL_*` variables, so the processes that the program starts read the same. Those that are forked
inherit everything; a Python started anew finds `_startup/sitecustomize.py` on its path, which calls `clew.startup.start`.
"""

from __future__ import annotations

import os
import shutil
import sys
from argparse import REMAINDER, ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Final

from clew.startup import start

#: Set for the program and all it starts.
ACTIVE: Final = "CLEW_RUN"
STARTUP: Final = str(Path(__file__).with_name("_startup"))
_USAGE, _FAILED, _NOT_FOUND, _INTERRUPTED = 2, 1, 127, 130

# Option, variable, explanation.
_OPTIONS: Final = (
    ("--service-name", "OTEL_SERVICE_NAME", "how the service is called"),
    ("--endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", "the collector's base address for OTLP/HTTP"),
    ("--sampler", "OTEL_TRACES_SAMPLER", "always_on, parentbased_traceidratio, …"),
    ("--sampler-arg", "OTEL_TRACES_SAMPLER_ARG", "the sampler's argument: 0.1 is one trace in ten"),
    ("--propagators", "OTEL_PROPAGATORS", "header formats, separated by commas"),
    ("--resource-attributes", "OTEL_RESOURCE_ATTRIBUTES", "key=value,… about the service"),
    ("--exporter", "OTEL_TRACES_EXPORTER", "otlp, console or none"),
    ("--exclude-urls", "OTEL_PYTHON_EXCLUDED_URLS", "regular expressions of requests not to trace"),
    ("--without", "CLEW_DISABLED_INSTRUMENTATIONS", "libraries not to trace, separated by commas: redis,httpx"),
)


def add_arguments(parser: ArgumentParser) -> None:
    """Fill the parser of `clew run`."""
    parser.usage = "clew run [OPTION ...] (FILE.py | -m MODULE | PROGRAM) [ARGUMENT ...]"
    parser.epilog = "Each option goes before the variable of its kind; what is not given comes from the variables."
    for option, variable, meaning in _OPTIONS:
        parser.add_argument(option, metavar="TEXT", dest=variable, help=f"{meaning} ({variable})")
    parser.add_argument("-m", dest="module", nargs=REMAINDER, metavar="MODULE", help="run a module, as python -m does")
    parser.add_argument("program", nargs=REMAINDER, metavar="PROGRAM", help="a file, or a command such as gunicorn")


def run(arguments: Namespace) -> int:
    """Trace the program and run it; returns or raises SystemExit with its own exit code."""
    words = arguments.module if arguments.module is not None else arguments.program
    if words[:1] == ["--"]:
        words = words[1:]
    if not words:
        print("clew: what is to be run? clew run app.py, clew run -m module, clew run gunicorn …", file=sys.stderr)
        return _USAGE
    _set_environment(arguments)
    start()
    if arguments.module is not None:
        return _guarded(lambda: _run_module(words))
    path = Path(words[0])
    if path.suffix == ".py" or path.is_file() or path.is_dir():
        if not path.exists():
            print(f"clew: no file {words[0]!r}", file=sys.stderr)
            return _USAGE
        if path.is_file() and path.suffix != ".py" and not _is_python_script(path):
            return _execute(str(path.resolve()), words)
        return _guarded(lambda: _run_file(words))
    return _run_command(words)


def _set_environment(arguments: Namespace) -> None:
    for _, variable, _ in _OPTIONS:
        value = getattr(arguments, variable)
        if value is None:
            continue
        os.environ[variable] = value
        # Its form for traces alone would go before it.
        os.environ.pop("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" if variable.endswith("ENDPOINT") else "", None)
    os.environ[ACTIVE] = "1"
    known = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part and part != STARTUP]
    os.environ["PYTHONPATH"] = os.pathsep.join([STARTUP, *known])


# -- the program --------------------------------------------------------------------------------------------------------


def _guarded(program: Callable[[], None]) -> int:
    """Run it to its end; an exception is reported as the interpreter would, without what is ours in the traceback."""
    try:
        program()
    except (Exception, KeyboardInterrupt) as error:
        shown = _without_ours(error.__traceback__)
        sys.excepthook(type(error), error.with_traceback(shown), shown)
        return _INTERRUPTED if isinstance(error, KeyboardInterrupt) else _FAILED
    return 0


def _without_ours(traceback: TracebackType | None) -> TracebackType | None:
    shown = traceback
    while shown is not None and shown.tb_frame.f_code.co_filename in (__file__, "<frozen runpy>"):
        shown = shown.tb_next
    return shown or traceback


def _run_file(words: list[str]) -> None:
    """As `python FILE …`: a module `__main__` of its own, its folder first on the path."""
    file = words[0]
    sys.argv[:] = words
    if os.path.isdir(file):
        import runpy

        sys.path.insert(0, file)
        runpy.run_path(file, run_name="__main__")
        return
    sys.path[0] = os.path.dirname(os.path.realpath(file))
    # The interpreter leaves argv as it is and has the file's whole path elsewhere.
    file = os.path.abspath(file)
    main = ModuleType("__main__")
    main.__file__ = file
    main.__builtins__ = __builtins__  # type: ignore[attr-defined]
    sys.modules["__main__"] = main
    with open(file, "rb") as source:
        code = compile(source.read(), file, "exec", dont_inherit=True)
    exec(code, main.__dict__)


def _run_module(words: list[str]) -> None:
    """As `python -m MODULE …`: the current folder first on the path, `argv[0]` the module's file."""
    import runpy

    sys.argv[:] = words
    sys.path[0] = os.getcwd()
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)


def _run_command(words: list[str]) -> int:
    """A command of this environment, else one on PATH; what is no Python becomes this process."""
    name = words[0]
    here = Path(sys.executable).with_name(name)
    found = str(here) if here.is_file() else shutil.which(name)
    if found is not None and _is_python_script(Path(found)):
        return _guarded(lambda: _run_file([found, *words[1:]]))
    from importlib.metadata import entry_points

    for entry in entry_points(group="console_scripts", name=name):
        command = entry.load()
        sys.argv[:] = [found or name, *words[1:]]

        return _guarded(lambda command=command: sys.exit(command()))  # type: ignore[misc]
    if found is None:
        print(f"clew: no command {name!r}", file=sys.stderr)
        return _NOT_FOUND
    return _execute(found, words)


def _is_python_script(path: Path) -> bool:
    """Whether its first line names a Python."""
    try:
        with path.open("rb") as file:
            head = file.read(2_048)
    except OSError:
        return False
    first, _, rest = head.partition(b"\n")
    # Installers write `#!/bin/sh` and an exec of the interpreter where its path is long.
    return first.startswith(b"#!") and (b"python" in first or (b"/sh" in first and b"'''exec'" in rest))


def _execute(path: str, words: list[str]) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(path, words)
