"""Makes OpenCL reachable where only NVIDIA's driver is installed: no loader, no `/etc/OpenCL/vendors`.

The driver's OpenCL is `libnvidia-opencl.so.1`. A loader (`libOpenCL.so.1`, shipped beside the binary) finds it through a
file in the folder that OCL_ICD_VENDORS names. Containers often have the driver's libraries and lack both.
"""

import glob
import os
import subprocess
from pathlib import Path

DRIVER = "libnvidia-opencl.so.1"
LOADER = "libOpenCL.so.1"
FOLDERS = ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/nvidia/lib64", "/usr/local/nvidia/lib",
           "/usr/lib/wsl/lib", "/run/opengl-driver/lib", "/usr/lib/nvidia", "/usr/local/cuda/compat"]


def listed(name):
    """The path that the dynamic linker's cache has for a library, or None."""
    for command in ("ldconfig", "/sbin/ldconfig"):
        try:
            lines = subprocess.run([command, "-p"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        except OSError:
            continue
        for line in lines.splitlines():
            if line.strip().startswith(name + " ") and "x86-64" in line:
                return line.split("=>")[-1].strip()
    return None


def find(name, extra=()):
    """A library in the linker's cache, in LD_LIBRARY_PATH or where drivers put it, or None."""
    paths = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    for folder in [*extra, *paths, *FOLDERS, *glob.glob("/usr/lib/nvidia-*"), *glob.glob("/opt/nvidia*/lib*")]:
        if folder and Path(folder, name).exists():
            return str(Path(folder, name))
    return listed(name)


def prepare(output, bundled, environment=None):
    """The environment in which the binary finds NVIDIA's OpenCL, and sentences about what was done.

    `output` is a folder to write in, `bundled` the folder of the libraries beside the binary.
    """
    environment = dict(os.environ if environment is None else environment)
    notes, folders = [], []
    if find(LOADER):
        notes.append(f"loader: {find(LOADER)}")
    elif Path(bundled, LOADER).exists():
        folders.append(str(bundled))
        notes.append(f"loader: none installed, the one in {bundled} is used")
    else:
        notes.append(f"loader: {LOADER} is not installed and not in {bundled}")
    driver = find(DRIVER)
    registered = any("nvidia" in Path(p).read_text(encoding="utf-8", errors="replace").lower()
                     for p in glob.glob(environment.get("OCL_ICD_VENDORS", "/etc/OpenCL/vendors") + "/*.icd"))
    if driver and not registered:
        vendors = Path(output, "vendors")
        vendors.mkdir(parents=True, exist_ok=True)
        Path(vendors, "nvidia.icd").write_text(driver + "\n", encoding="utf-8")
        environment["OCL_ICD_VENDORS"] = str(vendors)
        notes.append(f"driver: {driver}, named in {vendors}/nvidia.icd")
    elif driver:
        notes.append(f"driver: {driver}, already registered")
    else:
        notes.append("driver: libnvidia-opencl.so.1 was not found; other OpenCL platforms serve, if there are any")
    if driver:
        # The driver loads its compiler (libnvidia-nvvm, libnvidia-ptxjitcompiler) by name.
        folders.append(str(Path(driver).parent))
    if folders:
        old = environment.get("LD_LIBRARY_PATH")
        environment["LD_LIBRARY_PATH"] = ":".join(folders + ([old] if old else []))
    return environment, notes
