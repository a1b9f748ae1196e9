"""Makes a DuckDB extension of the compiled library: `python package.py LIBRARY OUT/logsum.duckdb_extension`.

DuckDB reads 534 bytes at the end of the file: the header of a WebAssembly section; eight fields of 32 bytes, in reverse
order; and room for a signature, which this extension does not have.
"""

import pathlib
import platform
import sys

HEADER = b"\x00\x93\x04\x10duckdb_signature\x80\x04"
# The first version of DuckDB's stable C interface with all functions that the extension calls.
C_API = "v1.2.0"


def this_platform():
    system = {"Linux": "linux", "Darwin": "osx", "Windows": "windows"}[platform.system()]
    machine = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]
    return f"{system}_{machine}"


def main(library, extension):
    fields = ["", "", "", "C_STRUCT", "0.1.0", C_API, this_platform(), "4"]
    footer = HEADER + b"".join(field.encode().ljust(32, b"\0") for field in fields) + bytes(256)
    pathlib.Path(extension).write_bytes(pathlib.Path(library).read_bytes() + footer)


if __name__ == "__main__":
    main(*sys.argv[1:])
