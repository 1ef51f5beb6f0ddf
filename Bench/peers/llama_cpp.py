"""What the scripts beside llama.cpp share: building it, finding models and the retort binary, running commands."""

import os
import platform
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = "llama-cpp-python==0.3.36"
FLAGS = ["-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DLLAMA_CURL=OFF", "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_UI=OFF"]


def say(text):
    print(text, file=sys.stderr, flush=True)


def stop(text):
    sys.exit(f"error: {text}")


def peers_folder():
    cache = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(cache) if os.path.isabs(cache) else Path.home() / ".cache"
    return base / "retort" / "peers"


def run(command, **options):
    """Runs a command, its output to standard error; stops the program if it fails."""
    say("+ " + " ".join(map(str, command)))
    result = subprocess.run([str(c) for c in command], stdout=sys.stderr, **options)
    if result.returncode != 0:
        stop(f"{Path(str(command[0])).name} ended with {result.returncode}")


def output_of(command):
    """A command's standard output; stops the program, with the end of its standard error, if it fails."""
    say("+ " + " ".join(map(str, command)))
    result = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if result.returncode != 0:
        stop(f"{Path(str(command[0])).name} ended with {result.returncode}:\n{result.stderr[-2000:]}")
    return result.stdout


def build_tools():
    """A PATH with cmake and ninja, from pip where the system has none."""
    path = os.environ["PATH"]
    if shutil.which("cmake") and shutil.which("ninja"):
        return path
    venv = peers_folder() / "build-tools"
    if not (venv / "bin" / "ninja").exists():
        run([sys.executable, "-m", "venv", venv])
        run([venv / "bin" / "python", "-m", "pip", "install", "-q", "cmake", "ninja"])
    return f"{venv / 'bin'}{os.pathsep}{path}"


def fetch_source(folder):
    """llama.cpp's source below `folder`, from the source distribution of llama-cpp-python."""
    def found():
        return next((folder / "source").glob("*/vendor/llama.cpp"), None)

    if found():
        return found()
    # What a broken download left must not count as found.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-cache-dir", "--no-binary=llama-cpp-python",
         "-d", folder, PACKAGE])
    archive = next(folder.glob("*.tar.gz"), None) or stop(f"pip left no source distribution of {PACKAGE}")
    with tarfile.open(archive) as file:
        # The filter refuses members that would land outside; older Pythons of 3.11 lack it.
        options = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        file.extractall(folder / "unpacking", **options)
    archive.unlink()
    (folder / "unpacking").rename(folder / "source")
    return found() or stop("the source distribution lacks vendor/llama.cpp")


def find_llama(given, targets):
    """The folder of llama.cpp's binaries that was given, or one built here."""
    if not given:
        return build_llama(targets)
    missing = [target for target in targets if not (given / target).exists()]
    if missing:
        stop(f"{given} has no {', '.join(missing)}: build them there, or leave out --llama")
    return given


def build_llama(targets, jobs=None):
    """The folder of llama.cpp's binaries; those of `targets` that are missing are built."""
    name = f"llama.cpp-{PACKAGE.split('==')[1]}-{platform.machine()}"
    final = peers_folder() / name
    if all((final / "bin" / t).exists() for t in targets):
        return final / "bin"
    source = fetch_source(peers_folder() / f"{name}.source")
    environment = dict(os.environ, PATH=build_tools())
    cache = final / "CMakeCache.txt"
    if not cache.exists() or f"CMAKE_HOME_DIRECTORY:INTERNAL={source}\n" not in cache.read_text(errors="replace"):
        # CMake refuses a folder that another source was built in. Shared libraries carry an absolute run path, so
        # the build is made where the result stays.
        shutil.rmtree(final, ignore_errors=True)
    run(["cmake", "-S", source, "-B", final, "-G", "Ninja", *FLAGS], env=environment)
    run(["cmake", "--build", final, "-j", str(jobs or os.cpu_count() or 1), "--target", *targets], env=environment)
    return final / "bin"


def find_model(name):
    """The GGUF that a path, a folder or a name of Tools/fetch-model stands for."""
    path = Path(name)
    if path.is_file():
        return path
    if not path.is_dir():
        fetch = subprocess.run([ROOT / "Tools" / "fetch-model", name], stdout=subprocess.PIPE, text=True)
        if fetch.returncode != 0:
            sys.exit(fetch.returncode)
        path = Path(fetch.stdout.strip())
    return path / "model.gguf"


def find_retort(given):
    """The binary that was given, or the release product, built."""
    if given:
        return given
    run(["swift", "build", "-c", "release", "--product", "retort"], cwd=ROOT)
    return ROOT / ".build" / "release" / "retort"
